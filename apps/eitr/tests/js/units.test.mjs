import assert from "node:assert/strict";
import test from "node:test";
import { extract, prepare, words } from "../../extension/features.js";
import { HEAD, logProbabilities, train } from "../../extension/net.js";
import { mixed } from "../../extension/replay.js";
import { decode, encode } from "../../extension/safetensors.js";

function random(seed) {
  return () => ((seed = (seed * 1664525 + 1013904223) >>> 0) / 2 ** 32 - 0.5) / 2;
}

function model(features, classes) {
  const next = random(1);
  const tensor = (...shape) => ({ shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, next) });
  return { w1: tensor(features, 256), b1: tensor(256), w2: tensor(256, 32), b2: tensor(32), w3: tensor(32, classes), b3: tensor(classes) };
}

test("words are letters, digits and underscores of any script, two at least", () => {
  assert.deepEqual(words("Ärzte & ΟΔΥΣΣΕΥΣ; a b2 snake_case 你好 e\u0301te\u0301"), ["ärzte", "οδυσσευς", "b2", "snake_case", "你好", "été"]);
});

test("an example has norm one, and ascending columns", () => {
  const { columns, values } = extract(prepare({ kind: "tfidf", terms: ["aa", "bb", "cc"], idf: [1, 2, 3] }), "cc aa aa unknown");
  assert.deepEqual(columns, [0, 2]);
  assert.ok(Math.abs(values.reduce((sum, value) => sum + value * value, 0) - 1) < 1e-6);
});

test("a page without a known word is no features, and still has a class", () => {
  const example = extract(prepare({ kind: "tfidf", terms: ["aa"], idf: [1] }), "nothing here");
  assert.deepEqual(example, { columns: [], values: [] });
  const total = logProbabilities(model(1, 3), example).reduce((sum, value) => sum + Math.exp(value), 0);
  assert.ok(Math.abs(total - 1) < 1e-12);
});

test("training makes the label likelier and touches nothing but the layers asked for", () => {
  const before = model(4, 3);
  const copy = Float32Array.from(before.w2.data);
  const example = { columns: [0, 2], values: [0.6, 0.8] };
  const update = train(before, [example], [2]);
  assert.deepEqual(Object.keys(update), HEAD);
  assert.deepEqual(before.w2.data, copy);
  const after = { ...before };
  for (const name of HEAD) {
    after[name] = { ...before[name], data: before[name].data.map((value, i) => value + update[name].data[i]) };
  }
  assert.ok(logProbabilities(after, example)[2] > logProbabilities(before, example)[2]);
});

test("safetensors come back as they went", () => {
  const tensors = model(3, 2);
  assert.deepEqual(decode(encode(tensors).buffer), tensors);
});

test("a lesson holds all of one's own examples and as many old ones of each class", () => {
  const old = [0, 0, 0, 0, 0, 2].map((label, i) => ({ columns: [i], values: [1], label }));
  const own = [{ columns: [9], values: [1], label: 1 }];
  const lesson = mixed(own, old, 10);
  const counted = [0, 1, 2].map((label) => lesson.filter((example) => example.label === label).length);
  assert.deepEqual(counted, [5, 1, 5]);
  assert.ok(lesson.includes(own[0]));
  assert.deepEqual(mixed(own, [], 10), own);
});
