// Text to features, to the last bit of float32 what scikit-learn's TfidfVectorizer makes of it on the server.

const WORD = /[\p{L}\p{N}_]{2,}/gu; // Python's \w{2,}; JavaScript's \w knows no letters but English ones

export function words(text) {
  return Array.from(text.normalize("NFC").toLowerCase().matchAll(WORD), (match) => match[0]);
}

// A vocabulary as the server sends it, ready for `extract`.
export function prepare(vocabulary) {
  if (vocabulary.kind === "hashed") return { column: (word) => crc32(word) % vocabulary.size, weight: () => 1 };
  const columns = new Map(vocabulary.terms.map((term, i) => [term, i]));
  return { column: (word) => columns.get(word), weight: (column) => vocabulary.idf[column] };
}

// The columns, ascending, and their values: an example.
export function extract(prepared, text) {
  const counts = new Map();
  for (const word of words(text)) {
    const column = prepared.column(word);
    if (column !== undefined) counts.set(column, (counts.get(column) ?? 0) + 1);
  }
  const columns = Array.from(counts.keys()).sort((a, b) => a - b);
  const weighted = columns.map((column) => counts.get(column) * prepared.weight(column));
  let squares = 0;
  for (const value of weighted) squares += value * value;
  const norm = Math.sqrt(squares);
  return { columns, values: weighted.map((value) => Math.fround(value / norm)) };
}

const TABLE = Uint32Array.from({ length: 256 }, (_, i) => {
  for (let k = 0; k < 8; k++) i = i & 1 ? 0xedb88320 ^ (i >>> 1) : i >>> 1;
  return i;
});

function crc32(word) {
  let crc = 0xffffffff;
  for (const byte of new TextEncoder().encode(word)) crc = TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
