// Tensors of float32 to and from the safetensors format.

export function decode(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    if (dtype !== "F32") throw new Error(`${name} is ${dtype}, not F32`);
    // A copy: the file's offsets need not be multiples of four.
    tensors[name] = { shape, data: new Float32Array(buffer.slice(8 + length + offsets[0], 8 + length + offsets[1])) };
  }
  return tensors;
}

export function encode(tensors) {
  const header = {};
  let end = 0;
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    header[name] = { dtype: "F32", shape, data_offsets: [end, (end += data.byteLength)] };
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil(text.length / 8) * 8;
  const bytes = new Uint8Array(8 + padded + end).fill(0x20, 8, 8 + padded);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(text, 8);
  for (const [name, { data }] of Object.entries(tensors)) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 8 + padded + header[name].data_offsets[0]);
  }
  return bytes;
}
