// Reads {vocabulary, texts, model, labels, layers} as JSON, prints what the extension makes of it: for tests/test_parity.py.
import { readFileSync } from "node:fs";
import { extract, prepare } from "../../extension/features.js";
import { logProbabilities, train } from "../../extension/net.js";
import { decode, encode } from "../../extension/safetensors.js";

const { vocabulary, texts, model, labels, layers } = JSON.parse(readFileSync(0, "utf8"));
const prepared = prepare(vocabulary);
const examples = texts.map((text) => extract(prepared, text));
const answer = { examples };
if (model) {
  const bytes = Buffer.from(model, "base64");
  const tensors = decode(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  answer.probabilities = examples.map((example) => logProbabilities(tensors, example));
  answer.update = Buffer.from(encode(train(tensors, examples, labels, { layers }))).toString("base64");
}
process.stdout.write(JSON.stringify(answer));
