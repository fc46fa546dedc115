// CRS: the part of the extension that is in every https page and frame. It only listens. Without a
// click or a key press of the citizen just before, it answers nothing, so that no page finds out
// behind the citizen's back what is installed here; and it wakes the background only for a login.
//
// The page's messages are {to: "crs-extension", channel, action: find | open | send | ping | close,
// text}, ours {from: "crs-extension", channel, action: found | open | message | pong | closed, …}.
// The channel is a random text of the page: several scripts of it may use the window at the same
// time.

"use strict";

const PROTOCOL = 1;

// What a page may send: as much as the program accepts.
const MESSAGE_BYTES = 64 * 1024;
const MESSAGES = 100; // in
const FLOOD_MS = 10_000;

let connection = null; // the one of this frame: {port, on, sent}

window.addEventListener("message", (event) => {
  if (isOfPage(event) && event.data?.to === "crs-extension") hear(event.data);
});

// isOfPage reports whether a script of this page posted a message. Other windows and frames do too,
// and a sandboxed page has no origin.
function isOfPage({ source, origin }) {
  return source === window && origin === location.origin && window.origin === location.origin;
}

// The background asks the top page of a tab who it is, on behalf of a frame in it. It takes that
// from the browser, which says who sent this answer, and not from the answer.
chrome.runtime.onMessage.addListener(({ who }, sender, answer) => {
  chrome.runtime.sendMessage({ here: who });
  answer();
});

// A click counts for some seconds, in which a page may ask. The time that a program takes to start
// is added to them.
const CLICK_MS = 5_000;
let givenBack = 0; // until then, by performance.now()

// clicked reports whether the page may ask now. After an update of the extension this script stays
// behind without one.
function clicked() {
  return (navigator.userActivation.isActive || performance.now() < givenBack) && Boolean(chrome.runtime?.id);
}

function hear({ channel, action, text }) {
  if (typeof channel !== "string" || channel.length > 64) return;
  const tell = (message) => window.postMessage({ from: "crs-extension", channel, ...message }, location.origin);
  const mine = connection?.channel === channel;
  if (action === "find" && clicked()) {
    tell({ action: "found", protocol: PROTOCOL });
  } else if (action === "open" && !mine) {
    connect(channel, {
      open: () => tell({ action: "open" }),
      message: (answer) => tell({ action: "message", text: answer }),
      closed: (code) => tell({ action: "closed", code }),
    });
  } else if (action === "send" && mine) {
    send(text);
  } else if (action === "ping" && mine) {
    tell({ action: "pong" });
  } else if (action === "close" && mine) {
    disconnect();
  }
}

// connect opens the connection of this frame to the program. The functions of on are called as
// things happen to it.
function connect(channel, on) {
  if (connection) return on.closed("busy");
  if (!clicked()) return on.closed("bridge_unavailable");
  const port = chrome.runtime.connect();
  const mine = connection = { port, channel, on, sent: [] };
  const end = (code) => {
    if (connection !== mine) return;
    connection = null;
    on.closed(code);
  };
  port.onMessage.addListener(({ open, text, code }) => {
    if (connection !== mine) return;
    if (open) on.open(open);
    else if (code) end(code);
    else on.message(text);
  });
  port.onDisconnect.addListener(() => end("bridge_unavailable"));
}

// send passes on a message of the page, or ends the connection of a page that floods.
function send(text) {
  const { port, on, sent } = connection;
  const now = Date.now();
  while (sent[0] < now - FLOOD_MS) sent.shift();
  if (sent.push(now) <= MESSAGES && fits(text)) return port.postMessage(text);
  disconnect();
  on.closed("invalid_request");
}

function disconnect() {
  connection.port.disconnect();
  connection = null;
}

// A browser may keep a page that the citizen leaves, to show it again, and closes the port without
// telling this end.
window.addEventListener("pagehide", () => {
  const left = connection;
  if (!left) return;
  disconnect();
  left.on.closed("bridge_unavailable");
});

function fits(text) {
  return typeof text === "string" && text.length <= MESSAGE_BYTES && new TextEncoder().encode(text).length <= MESSAGE_BYTES;
}
