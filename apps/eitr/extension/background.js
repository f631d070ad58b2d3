// The service worker: classifies pages, trains on corrections, talks to the server. It may be killed at any moment, so all it
// must know is in storage: consent and token in `local`, pages' features and corrections in `session`, which no disk ever sees.
import { extract, prepare } from "./features.js";
import { logProbabilities, train } from "./net.js";
import { mixed } from "./replay.js";
import { decode, encode } from "./safetensors.js";

const MINUTES = [20, 40]; // between two questions to the server, at random: it must not learn when somebody browses
const KEPT = 200; // corrections, the newest
const OWN = chrome.runtime.getURL("");

const own = {
  join: ({ server, invitation }) => join(server, invitation),
  page: ({ tab }) => shown(tab),
  correct: ({ tab, label }) => correct(tab, label),
  pause: ({ paused }) => chrome.storage.local.set({ paused }),
  learn: () => learn(),
  forget: () => forget(),
  watch: () => watch(),
};

chrome.runtime.onInstalled.addListener(async () => {
  if (!(await chrome.storage.local.get("token")).token) await chrome.tabs.create({ url: "welcome.html" });
});
chrome.runtime.onMessage.addListener((message, sender, respond) => {
  const task = answer(message, sender);
  if (!task) return false;
  task.then(respond, (error) => respond({ error: error.message }));
  return true;
});
chrome.alarms.onAlarm.addListener(() => learn().catch(() => {}).finally(later));
chrome.tabs.onRemoved.addListener((tab) => chrome.storage.session.remove(`page:${tab}`));

// Pages may only say what they hold; everything else is for the extension's own pages.
function answer(message, sender) {
  if (sender.id !== chrome.runtime.id || typeof message?.kind !== "string") return null;
  if (sender.url?.startsWith(OWN)) return Object.hasOwn(own, message.kind) ? own[message.kind](message) : null;
  if (message.kind === "seen" && sender.tab && sender.frameId === 0) return seen(message, sender);
  return null;
}

async function seen({ text, requests, hosts }, sender) {
  const { token, server, paused } = await chrome.storage.local.get();
  if (!token || paused || sender.origin === new URL(server).origin) return null;
  const { vocabulary, prepared, model } = await current();
  const example = extract(prepared, String(text));
  const probabilities = logProbabilities(model, example).map(Math.exp);
  const label = probabilities.indexOf(Math.max(...probabilities));
  const sensitive = label !== vocabulary.classes.length - 1;
  const page = { id: crypto.randomUUID(), example, label, probability: probabilities[label], sensitive, requests: Number(requests), hosts: Number(hosts) };
  await chrome.storage.session.set({ [`page:${sender.tab.id}`]: page });
  await chrome.action.setBadgeText({ tabId: sender.tab.id, text: sensitive ? "!" : "" });
  return { name: vocabulary.classes[label], probability: page.probability, warn: sensitive && page.requests > 0, requests: page.requests };
}

async function shown(tab) {
  const { token, paused = false, sent = [], version = null } = await chrome.storage.local.get();
  if (!token) return { joined: false };
  const { vocabulary } = await current();
  const { corrections = [], ...pages } = await chrome.storage.session.get();
  const page = pages[`page:${tab}`];
  const corrected = page && corrections.find(({ id }) => id === page.id);
  const { example, ...visible } = page ?? {};
  return { joined: true, paused, sent, version, classes: vocabulary.classes, corrections: corrections.length, page: page && { ...visible, corrected: corrected?.label ?? null } };
}

async function correct(tab, label) {
  const { [`page:${tab}`]: page, corrections = [] } = await chrome.storage.session.get([`page:${tab}`, "corrections"]);
  const { vocabulary } = await current();
  if (!page || !Number.isInteger(label) || !(label in vocabulary.classes)) throw new Error("there is nothing to correct");
  const others = corrections.filter(({ id }) => id !== page.id);
  await chrome.storage.session.set({ corrections: [...others, { id: page.id, example: page.example, label }].slice(-KEPT) });
  return shown(tab);
}

async function join(server, invitation) {
  const { origin } = new URL(server);
  const { client, token } = await ask(origin, "/clients", { method: "POST", body: JSON.stringify({ consent: true, invitation }), headers: { "Content-Type": "application/json" } });
  await chrome.storage.local.set({ server: origin, token, client, sent: [] });
  await refresh((await ask(origin, "/round")).model);
  await watch();
  await later();
  return { task: await ask(origin, "/task", { headers: { Authorization: `Bearer ${token}` } }) };
}

// Look at the pages that the person has allowed, and at no others.
async function watch() {
  const { origins } = await chrome.permissions.getAll();
  await chrome.scripting.unregisterContentScripts();
  await chrome.scripting.registerContentScripts([{ id: "page", js: ["content.js"], matches: origins, runAt: "document_idle" }]);
}

async function forget() {
  const { server, token } = await chrome.storage.local.get();
  if (token) {
    await ask(server, "/clients/me", { method: "DELETE", headers: { Authorization: `Bearer ${token}` } }).catch((error) => {
      if (error.status !== 401) throw error; // the server has forgotten us already
    });
  }
  await chrome.scripting.unregisterContentScripts();
  await chrome.alarms.clearAll();
  await Promise.all([chrome.storage.local.clear(), chrome.storage.session.clear(), caches.delete("server")]);
  loaded = null;
  return { joined: false };
}

// --- rounds ---

// Fetch the newest model; if there are corrections that this round has not had, train on them and send the update.
function learn() {
  return navigator.locks.request("learn", async () => {
    const { server, token, paused, sent = [] } = await chrome.storage.local.get();
    if (!token || paused) return { sent: false };
    const round = await ask(server, "/round");
    await refresh(round.model);
    const { corrections = [] } = await chrome.storage.session.get("corrections");
    if (round.state !== "open" || !corrections.length || sent.some(({ number }) => number === round.number)) return { sent: false };
    const { model, training } = await current();
    const own = corrections.map(({ example, label }) => ({ ...example, label }));
    const lesson = mixed(own, training.examples, training.replay);
    const update = train(model, lesson, lesson.map(({ label }) => label), training);
    const body = encode(update);
    const headers = { "Content-Type": "application/octet-stream", Authorization: `Bearer ${token}` };
    await ask(server, `/rounds/${round.number}/update`, { method: "PUT", body, headers });
    const entry = { number: round.number, bytes: body.length, pages: corrections.length, when: Date.now() };
    await chrome.storage.local.set({ sent: [...sent, entry].slice(-100) });
    return { sent: true };
  });
}

async function later() {
  const [least, most] = MINUTES;
  await chrome.alarms.create("round", { delayInMinutes: least + Math.random() * (most - least) });
}

// --- the model in use ---

let loaded = null; // {version, vocabulary, training, prepared, model}, for as long as this worker lives

async function refresh(version) {
  const { server, version: old } = await chrome.storage.local.get();
  if (version === old) return;
  const cache = await caches.open("server");
  const wanted = ["vocabulary", "training", `models/${version}`].map((path) => new Request(`${server}/${path}`, { credentials: "omit" }));
  await cache.addAll(wanted);
  await chrome.storage.local.set({ version });
  if (old !== undefined) await cache.delete(`${server}/models/${old}`);
}

async function current() {
  const { server, version } = await chrome.storage.local.get();
  if (loaded?.version !== version) {
    const cache = await caches.open("server");
    const parts = await Promise.all(["vocabulary", "training", `models/${version}`].map((path) => cache.match(`${server}/${path}`)));
    const [vocabulary, training] = await Promise.all(parts.slice(0, 2).map((part) => part.json()));
    loaded = { version, vocabulary, training, prepared: prepare(vocabulary), model: decode(await parts[2].arrayBuffer()) };
  }
  return loaded;
}

async function ask(server, path, options = {}) {
  const response = await fetch(server + path, { credentials: "omit", cache: "no-store", ...options });
  const body = response.status === 204 ? null : await response.json();
  if (!response.ok) throw Object.assign(new Error(body.detail?.toString() ?? response.statusText), { status: response.status });
  return body;
}
