// Who may tell the service worker what: with a stand-in for `chrome` that records what is done.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import test from "node:test";

const HOME = "chrome-extension://own/";
const done = [];
let listen;
const event = { addListener() {} };
const area = { get: async () => ({}), set: async (values) => done.push(values) };
globalThis.chrome = {
  runtime: { id: "own", getURL: () => HOME, onInstalled: event, onMessage: { addListener: (listener) => (listen = listener) } },
  storage: { local: area, session: area },
  alarms: { onAlarm: event },
  tabs: { onRemoved: event },
};
await import("../../extension/background.js");

const pause = { kind: "pause", paused: true };
const page = { id: "own", url: "https://evil.example/", tab: { id: 1 }, frameId: 0 };

test("the extension's own pages are obeyed", async () => {
  await new Promise((respond) => assert.equal(listen(pause, { id: "own", url: `${HOME}popup.html` }, respond), true));
  assert.deepEqual(done.splice(0), [{ paused: true }]);
});

test("nobody else is, whatever they say", () => {
  const others = [
    [pause, page], // a page that has taken over its content script
    [pause, { ...page, url: "https://evil.example/?chrome-extension://own/" }],
    [pause, { id: "another", url: `${HOME}popup.html` }],
    [{ kind: "seen", text: "" }, { ...page, frameId: 3 }], // a frame speaks for nobody's page
    [{ kind: "constructor" }, { id: "own", url: `${HOME}popup.html` }],
    [null, page],
  ];
  for (const [message, sender] of others) assert.equal(listen(message, sender, () => done.push("an answer")), false);
  assert.deepEqual(done, []);
});

test("the extension writes text, never HTML", () => {
  const folder = new URL("../../extension/", import.meta.url);
  const scripts = readdirSync(folder).filter((name) => name.endsWith(".js"));
  assert.ok(scripts.length > 5);
  for (const name of scripts) {
    assert.doesNotMatch(readFileSync(new URL(name, folder), "utf8"), /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function/, name);
  }
});
