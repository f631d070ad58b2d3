// Consent first; then a token, and a list of pages to visit.
const $ = (id) => document.getElementById(id);

function link({ title, address }) {
  const item = document.createElement("li");
  const anchor = document.createElement("a");
  anchor.textContent = title;
  if (["http:", "https:"].includes(new URL(address).protocol)) anchor.href = address;
  item.append(anchor);
  return item;
}

async function tell(message) {
  const answer = await chrome.runtime.sendMessage(message);
  $("error").hidden = !answer?.error;
  $("error").textContent = answer?.error ?? "";
  return answer;
}

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const server = new URL($("server").value);
  // A click is needed to ask for a server that is not on this computer.
  if (server.hostname !== "127.0.0.1" && !(await chrome.permissions.request({ origins: [`${server.origin}/*`] }))) return;
  const answer = await tell({ kind: "join", server: server.origin, invitation: $("invitation").value });
  if (answer?.error) return;
  $("form").hidden = true;
  $("done").hidden = false;
  $("task").replaceChildren(...answer.task.map(link));
});

$("everywhere").addEventListener("click", async () => {
  if (await chrome.permissions.request({ origins: ["http://*/*", "https://*/*"] })) await tell({ kind: "watch" });
});
