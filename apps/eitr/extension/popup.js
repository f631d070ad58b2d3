// What the extension thinks of the page, and what the person thinks of it.
const $ = (id) => document.getElementById(id);
const tab = Number(new URLSearchParams(location.search).get("tab")) || (await chrome.tabs.query({ active: true, currentWindow: true }))[0]?.id;

async function tell(message) {
  const answer = await chrome.runtime.sendMessage({ tab, ...message });
  $("error").hidden = !answer?.error;
  $("error").textContent = answer?.error ?? "";
  return answer;
}

async function show() {
  const state = await tell({ kind: "page" });
  $("absent").hidden = state.joined !== false;
  $("joined").hidden = !state.joined;
  if (!state.joined) return;
  const { page, classes } = state;
  $("name").textContent = page ? classes[page.label] : state.paused ? "Paused" : "Not looked at";
  $("detail").textContent = page ? `with probability ${page.probability.toFixed(2)}` : "";
  $("warning").hidden = !(page?.sensitive && page.requests);
  $("warning").textContent = page ? `Sensitive, and ${counted(page.requests, "request")} went to ${counted(page.hosts, "other host")}.` : "";
  $("label").replaceChildren(...["", ...classes].map(option));
  $("label").disabled = !page;
  $("label").value = page?.corrected ?? "";
  $("corrected").textContent = page?.corrected == null ? "" : "Thank you. It will be learnt from, here.";
  $("facts").textContent = `Model ${state.version} · ${counted(state.corrections, "correction")} in memory · sent so far: ${state.sent.length || "nothing"}`;
  $("sent").replaceChildren(...state.sent.slice(-5).reverse().map(line));
  $("paused").checked = state.paused;
}

function counted(number, what) {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

function option(name, i) {
  const element = document.createElement("option");
  element.value = name === "" ? "" : i - 1;
  element.textContent = name === "" ? "…" : name;
  return element;
}

function line({ number, bytes, pages, when }) {
  const element = document.createElement("li");
  element.textContent = `round ${number}: ${(bytes / 1000).toFixed(1)} KB of weights, from ${counted(pages, "page")}, ${new Date(when).toLocaleTimeString([], { timeStyle: "short" })}`;
  return element;
}

$("label").addEventListener("change", async () => {
  if ($("label").value !== "") await tell({ kind: "correct", label: Number($("label").value) });
  await show();
});
for (const [id, event, message] of [
  ["learn", "click", () => ({ kind: "learn" })],
  ["paused", "change", () => ({ kind: "pause", paused: $("paused").checked })],
  ["forget", "click", () => ({ kind: "forget" })],
]) {
  $(id).addEventListener(event, async () => {
    $(id).disabled = true;
    const answer = await tell(message());
    $(id).disabled = false;
    if (!answer?.error) await show();
  });
}
await show();
