// What a page says: its metadata and its visible text, and whom else it talks to. Nothing of it leaves the browser.
(() => {
  const LONGEST = 200_000;

  function text() {
    const named = ["description", "keywords", "og:title", "og:description"];
    const metas = named.map((name) => document.querySelector(`meta[name="${name}"], meta[property="${name}"]`)?.content ?? "");
    return [document.title, ...metas, document.body?.innerText ?? ""].join(" ").slice(0, LONGEST);
  }

  function thirdParties() {
    const hosts = performance.getEntriesByType("resource").map(({ name }) => new URL(name).hostname);
    return hosts.filter((host) => host && host !== location.hostname);
  }

  function warn({ name, requests }) {
    const holder = document.createElement("div");
    const root = holder.attachShadow({ mode: "closed" }); // the page can neither style nor read it
    const box = document.createElement("div");
    box.style.cssText = "position:fixed;z-index:2147483647;right:16px;bottom:16px;max-width:320px;padding:12px 16px;border-radius:10px;" +
      "background:#7a1f1f;color:#fff;font:14px/1.45 system-ui,sans-serif;box-shadow:0 4px 18px #0006";
    const others = requests === 1 ? "1 request" : `${requests} requests`;
    box.textContent = `This page seems to be about ${name.toLowerCase()}, and made ${others} to other hosts.`;
    const close = document.createElement("button");
    close.textContent = "Close";
    close.style.cssText = "display:block;margin-top:8px;padding:2px 10px;border:1px solid #fff8;border-radius:6px;background:none;color:inherit;font:inherit;cursor:pointer";
    close.addEventListener("click", () => holder.remove());
    box.append(close);
    root.append(box);
    document.documentElement.append(holder);
  }

  async function look() {
    const hosts = thirdParties();
    const page = { kind: "seen", text: text(), requests: hosts.length, hosts: new Set(hosts).size };
    const answer = await chrome.runtime.sendMessage(page).catch(() => null);
    if (answer?.warn) warn(answer);
  }

  if (document.readyState === "complete") look();
  else addEventListener("load", look, { once: true });
})();
