// CRS: the background of the extension. It joins a frame of a page to the program on this computer,
// each to a process of its own. It learns from the browser who asks, and tells the program before
// the frame can say a word. It does nothing else: it reaches no network and keeps nothing.

"use strict";

const HOST = "it.crs.bridge";

// What a page may ask the program for. "connect" says who asks, and is ours alone.
const METHODS = new Set(["hello", "authenticate", "cancel"]);

// Connections that a tab may have, and how many it may open in a while: each is a process.
const OPEN = 4, OPENED = 30, WHILE_MS = 10_000;

const WHO_MS = 5_000; // how long the top page of a tab, which may be busy, may take to answer

const connections = []; // of the last while, and those still open: {tab, since, ended}

chrome.runtime.onConnect.addListener(async (page) => {
  const self = { tab: page.sender.tab?.id, since: Date.now(), ended: false };
  let host = null;
  const end = (code) => {
    if (self.ended) return;
    self.ended = true;
    host?.disconnect();
    if (code) page.postMessage({ code });
    page.disconnect();
  };
  page.onDisconnect.addListener(() => end());

  if (!hasRoom(self)) return end("busy");
  let origins;
  try {
    origins = await originsOf(page.sender);
  } catch {
    return end("origin_denied");
  }
  if (self.ended) return;

  let joined = false;
  page.onMessage.addListener((text) => {
    const message = joined && parse(text);
    try {
      if (message && !self.ended) return host.postMessage(message);
    } catch {
      // It is nested too deeply for this browser to write.
    }
    end("invalid_request");
  });
  host = chrome.runtime.connectNative(HOST);
  host.onDisconnect.addListener(() => {
    void chrome.runtime.lastError; // read, or the browser writes it to its log
    end("bridge_unavailable");
  });
  host.onMessage.addListener((answer) => {
    if (self.ended) return;
    if (joined) return page.postMessage({ text: JSON.stringify(answer) });
    joined = answer?.id === 0 && Boolean(answer.result);
    if (joined) page.postMessage({ open: { allowed: answer.result.allowed === true } });
    else end(refusal(answer?.error?.data?.code));
  });
  host.postMessage({ jsonrpc: "2.0", id: 0, method: "connect", params: origins });
});

// refusal is the code for a program that does not join. Without its service a program is as good as
// none.
function refusal(code) {
  return typeof code === "string" && code !== "internal" ? code : "bridge_unavailable";
}

// hasRoom bounds the processes that a tab can start, however many frames it has.
function hasRoom(self) {
  const old = self.since - WHILE_MS;
  const kept = connections.filter((c) => !c.ended || c.since > old);
  const mine = kept.filter((c) => c.tab === self.tab);
  const room = mine.length < OPENED && mine.filter((c) => !c.ended).length < OPEN;
  connections.splice(0, Infinity, ...kept, ...(room ? [self] : []));
  return room;
}

// originsOf returns the origin of a frame and that of the page that the citizen sees in the tab.
async function originsOf(sender) {
  const origin = originOf(sender);
  return { origin, topOrigin: sender.frameId === 0 ? origin : originOf(await topOf(sender.tab.id)) };
}

// originOf throws for anything but an https page: a sandboxed frame is "null".
function originOf({ origin, url }) {
  const { protocol, origin: ofURL } = new URL(url);
  if (protocol !== "https:" || (origin ?? ofURL) !== ofURL) throw new Error("not a page of https");
  return ofURL;
}

const waiting = new Map(); // questions to top pages, by a number of their own

// topOf asks the top page of a tab for a message, for its sender.
async function topOf(tab) {
  const who = crypto.randomUUID();
  try {
    return await new Promise((resolve, reject) => {
      waiting.set(who, { tab, resolve });
      setTimeout(reject, WHO_MS);
      chrome.tabs.sendMessage(tab, { who }, { frameId: 0 }).catch(reject);
    });
  } finally {
    waiting.delete(who);
  }
}

chrome.runtime.onMessage.addListener(({ here }, sender) => {
  const asked = waiting.get(here);
  if (asked && sender.frameId === 0 && sender.tab?.id === asked.tab) asked.resolve(sender);
});

function parse(text) {
  try {
    const message = JSON.parse(text);
    return METHODS.has(message?.method) ? message : null;
  } catch {
    return null;
  }
}
