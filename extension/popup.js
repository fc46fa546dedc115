// CRS: what the citizen sees on the extension's button: whether the program is here, what to do if
// not, and whether the site in the tab may ask for logins.

"use strict";

// Where the self-test page of the demonstration portal is served for everybody: nowhere yet. Without an
// address there is no link to it.
const SELFTEST = "";

// What a refusal to join says about the program; without a code there is none.
const REFUSING = { origin_denied: "found", busy: "found", unsupported_version: "old" };

const ANSWER_MS = 20_000; // more than a program takes that starts its service first

const say = chrome.i18n.getMessage;
const part = (selector) => document.querySelector(selector);

document.documentElement.lang = say("@@ui_locale").slice(0, 2);
part("#program p").textContent = say("looking");
part("#install a").textContent = say("install");
part("#selftest a").textContent = say("selftest");
part("#selftest a").href = SELFTEST;
part("#selftest").hidden = !SELFTEST;
show();

async function show() {
  const site = await siteOfTab();
  // Without a site in the tab, any other name will do: joining asks nothing.
  const { joined, allowed, code } = await ask(site ?? "https://crs-bridge.org");
  const state = joined ? "found" : code ? REFUSING[code] ?? "stuck" : "missing";
  part("#program").className = state === "found" ? "good" : "bad";
  part("#program h2").textContent = say(state);
  part("#program p").textContent = say(`${state}Next`);
  part("#install").hidden = state === "found";
  if (!site || !joined && code !== "origin_denied") return;
  part("#site").hidden = false;
  part("#site h2").textContent = say("site");
  part("#site .host").textContent = new URL(site).host;
  part("#site .state").textContent = say(!joined ? "denied" : allowed ? "allowed" : "unknown");
}

// ask joins the program for a site, as the background does, and says hello. A program that says
// nothing counts as failed.
function ask(origin) {
  return new Promise((resolve) => {
    const host = chrome.runtime.connectNative("it.crs.bridge");
    const end = (found) => {
      resolve(found);
      host.disconnect();
    };
    host.onDisconnect.addListener(() => {
      void chrome.runtime.lastError;
      resolve({});
    });
    setTimeout(end, ANSWER_MS, { code: "internal" });
    let allowed = false;
    host.onMessage.addListener(({ id, result, error }) => {
      if (error) return end({ code: error.data?.code });
      if (id === 1) return end({ joined: true, allowed });
      allowed = result?.allowed === true;
      host.postMessage({ jsonrpc: "2.0", id: 1, method: "hello", params: { client: "popup/1.0", protocol: 1 } });
    });
    host.postMessage({ jsonrpc: "2.0", id: 0, method: "connect", params: { origin, topOrigin: origin } });
  });
}

// siteOfTab asks the page in the tab for a message, and takes the origin of its sender. A page
// without the extension has none.
async function siteOfTab() {
  const [tab] = await chrome.tabs.query({ active: true, currentWindow: true });
  if (!tab) return null;
  const who = crypto.randomUUID();
  return new Promise((resolve) => {
    chrome.runtime.onMessage.addListener(({ here }, sender) => {
      if (here === who && sender.frameId === 0 && sender.tab?.id === tab.id) resolve(new URL(sender.url).origin);
    });
    chrome.tabs.sendMessage(tab.id, { who }, { frameId: 0 }).catch(() => resolve(null));
    setTimeout(resolve, 500, null);
  });
}
