// CRS: log in with a smart card. https://github.com/crs-bridge/crs, EUPL-1.2
//
// login() asks the bridge, a program on the citizen's computer, to have a challenge signed by
// the citizen's card. The page never names its own origin, because the bridge learns it from
// the browser, and never sees a PIN. Types and error codes are in crs.d.ts.

const PORTS = [27770, 27771, 27772];
const PROTOCOL = 1;

// How long the extension may take to answer, in steps: in a busy page the clock runs on, but a
// message of the extension is handled before the next step.
const FIND_MS = 100;
const FINDS = 3;

// How long it may take, on an old computer, until the program behind the extension and then its
// service have started; until a port says hello; and until the citizen answers the browser's
// question whether this site may reach programs of this computer.
const START_MS = 20_000;
const HELLO_MS = 5_000;
const PERMISSION_MS = 600_000;

// An extension that is updated or switched off may end without a word. It is pinged this often, and
// is gone after this many pings without an answer: a page may be busy itself.
const PING_MS = 1_000;
const PINGS = 3;

// A person who closes a question takes this much longer than a port where nobody listens.
const PERSON_MS = 700;

// What the citizen is doing now, in the bridge's words. Unknown ones are ignored.
const STATES = new Set(["consent", "card", "pin", "signing"]);

// What the bridge can answer; see the protocol. The client adds bridge_unavailable,
// permission_denied, permission_dismissed and insecure_context.
const CODES = new Set([
  "invalid_request", "unsupported_version", "origin_denied", "busy", "user_cancelled",
  "timeout", "card_unusable", "card_error", "pin_blocked", "internal",
]);

export class CRSError extends Error {
  constructor(code, message, options) {
    super(message, options);
    this.name = "CRSError";
    this.code = code;
  }
}

/** Call it from the handler of a click: the browser may ask the citizen for a permission. */
export async function login({ challenge, lang, personalData, signal, onProgress = () => {} }) {
  const bridge = await connect(signal, onProgress);
  try {
    if (typeof challenge === "function") challenge = await challenge();
    const result = await bridge.call("authenticate", { challenge, lang, personalData }, { onProgress });
    if (typeof result?.token !== "object" || result.token === null) throw wrongAnswer();
    // Nothing else that the other end may have added is passed on.
    const { token, personalData: data } = result;
    return personalData && typeof data === "string" ? { token, personalData: data } : { token };
  } finally {
    bridge.close();
  }
}

/** What a help page shows: which ways lead to the program. Call it from the handler of a click. */
export async function probe({ signal, onProgress = () => {} } = {}) {
  const ways = { secure: Boolean(globalThis.window?.isSecureContext), extension: false, native: "", permission: "", socket: "" };
  if (!ways.secure) return ways;
  const channel = await findExtension();
  ways.extension = Boolean(channel);
  ways.native = await tryWay(channel && joinExtension(channel), signal);
  ways.socket = await connectSocket(signal, onProgress).then(greeted, (error) => error.code);
  ways.permission = await permissionState();
  return ways;
}

const tryWay = (way, signal) => way ? greet(new Bridge(way, signal), START_MS).then(greeted, (error) => error.code) : "";
const greeted = (bridge) => (bridge.close(), "ready");

// connect uses the extension, which needs no permission, or else the socket.
async function connect(signal, onProgress) {
  if (!globalThis.window?.isSecureContext) { // no window: a server, or a worker
    throw new CRSError("insecure_context", "This is no page that was loaded over https.");
  }
  if (signal?.aborted) throw cancelled(signal);
  const framed = window.top !== window;
  const channel = await findExtension();
  if (channel) {
    try {
      return await greet(new Bridge(joinExtension(channel), signal), START_MS);
    } catch (error) {
      if (framed && error.code === "origin_denied") throw inFrame();
      // The program itself would say the same through the socket.
      if (framed || error.code !== "bridge_unavailable") throw error;
    }
  }
  // In a frame the citizen cannot tell whose button it is, and without the extension the bridge
  // sees the frame's origin only.
  if (framed) throw inFrame();
  return connectSocket(signal, onProgress);
}

// connectSocket tries one port after another, never two at once: while the browser asks the citizen
// about one connection, others may fail.
async function connectSocket(signal, onProgress) {
  let permission = await permissionState();
  if (permission === "denied") throw permissionDenied();
  const asks = permission === "prompt";
  if (asks) onProgress("permission");
  let failure = new CRSError("bridge_unavailable", "The CRS software does not answer on this computer.");
  const took = []; // milliseconds, by port that did not open
  for (const port of PORTS) {
    let bridge;
    const begin = performance.now();
    try {
      bridge = new Bridge(joinSocket(port), signal);
      return await greet(bridge, permission === "prompt" ? PERMISSION_MS : HELLO_MS);
    } catch (error) {
      if (error.code === "user_cancelled") throw error;
      if (error.code === "unsupported_version") failure = error;
      if (!bridge?.opened) took.push(performance.now() - begin);
    }
    // A handshake that the bridge refused, one that the browser blocked, and a port where
    // nobody listens all look the same here. Only the permission shows which it was.
    permission = await permissionState();
    if (permission === "denied") throw permissionDenied();
  }
  // The browser asks only where somebody listens, and would ask again. So one port took a person's
  // time and the others none; only the time distinguishes this from no listener at all.
  const asked = asks && permission === "prompt" && Math.max(...took) - Math.min(...took) > PERSON_MS;
  if (asked && failure.code === "bridge_unavailable") {
    failure = new CRSError("permission_dismissed", "The browser's question was closed without an answer.");
  }
  throw failure;
}

// greet returns the bridge when it has said hello.
async function greet(bridge, timeout) {
  try {
    await bridge.open(timeout);
    const hello = await bridge.call("hello", { client: "crs.js/1.0", protocol: PROTOCOL }, { timeout: HELLO_MS });
    if (hello?.protocol !== PROTOCOL) throw wrongAnswer();
    return bridge;
  } catch (error) {
    bridge.close();
    throw error;
  }
}

// A way leads to the bridge: a function that takes what to do when it opens, when a message comes
// and when it closes, and returns how to send and how to close.

function joinSocket(port) {
  return (on) => {
    // Throws in browsers that treat the bridge as mixed content. There is nothing to close then.
    const socket = new WebSocket(`ws://127.0.0.1:${port}/v1`);
    socket.onopen = () => on.open();
    socket.onmessage = (event) => on.message(event.data);
    // A connection that the page's own policy forbids ends with an error and no close.
    socket.onclose = socket.onerror = () => on.closed();
    return { send: (text) => socket.send(text), close: () => socket.close() };
  };
}

function joinExtension(channel) {
  return (on) => {
    let unanswered = 0;
    const stop = listen(channel, ({ action, text, code }) => {
      unanswered = 0;
      if (action === "open") on.open();
      else if (action === "message") on.message(text);
      else if (action === "closed") on.closed(code);
    });
    tell(channel, "open");
    const timer = setInterval(() => {
      if (unanswered++ < PINGS) tell(channel, "ping");
      else on.closed();
    }, PING_MS);
    return {
      send: (text) => tell(channel, "send", text),
      close: () => {
        clearInterval(timer);
        stop();
        tell(channel, "close");
      },
    };
  };
}

// findExtension returns the channel on which an extension of this protocol answers, or null. The
// extension answers only within a click.
function findExtension() {
  return new Promise((resolve) => {
    const channel = crypto.randomUUID();
    const end = (found) => {
      clearInterval(timer);
      stop();
      resolve(found);
    };
    let steps = 0;
    const timer = setInterval(() => {
      if (++steps === FINDS) end(null);
    }, FIND_MS);
    const stop = listen(channel, ({ action, protocol }) => {
      if (action === "found") end(protocol === PROTOCOL ? channel : null);
    });
    tell(channel, "find");
  });
}

function tell(channel, action, text) {
  window.postMessage({ to: "crs-extension", channel, action, text }, location.origin);
}

// listen hears what the extension says on a channel, and nobody else: no other frame or window, and
// nobody who does not know the channel.
function listen(channel, hear) {
  const receive = (event) => {
    const { source, origin, data } = event;
    if (source === window && origin === location.origin && data?.from === "crs-extension" && data.channel === channel) hear(data);
  };
  window.addEventListener("message", receive);
  return () => window.removeEventListener("message", receive);
}

// Bridge is one connection and what is called over it, one call at a time.
class Bridge {
  opened = false;
  #way;
  #signal;
  #lastID = 0;
  #pending = null; // what it waits for: {id, onProgress, resolve, reject, timer}
  #failure = null; // why the connection is over

  constructor(join, signal) {
    if (signal?.aborted) throw cancelled(signal);
    this.#way = join({
      open: () => this.#take()?.resolve(),
      message: (text) => this.#receive(text),
      closed: (code) => this.#fail(CODES.has(code)
        ? new CRSError(code, "The CRS software refused.")
        : new CRSError("bridge_unavailable", "The connection to the CRS software is gone.")),
    });
    this.#signal = signal;
    signal?.addEventListener("abort", this.#abort);
    window.addEventListener("pagehide", this.#leave);
  }

  async open(timeout) {
    await this.#wait({ timeout });
    this.opened = true;
  }

  async call(method, params, { timeout, onProgress } = {}) {
    if (this.#failure) throw this.#failure; // perhaps while the portal made its challenge
    return this.#wait({ id: this.#send(method, params), timeout, onProgress });
  }

  close() {
    this.#signal?.removeEventListener("abort", this.#abort);
    window.removeEventListener("pagehide", this.#leave);
    this.#way.close();
  }

  #abort = () => {
    if (this.#pending?.id) this.#send("cancel", { id: this.#pending.id });
    this.#fail(cancelled(this.#signal));
  };

  // A browser may keep a page that the citizen left, connections included, to show it again.
  #leave = () => {
    this.#fail(new CRSError("user_cancelled", "The page was left."));
    this.close();
  };

  #send(method, params) {
    const id = ++this.#lastID;
    this.#way.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
    return id;
  }

  #wait({ id, timeout, onProgress }) {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      const timer = timeout && setTimeout(() => this.#fail(noAnswer()), timeout);
      this.#pending = { id, onProgress, resolve, reject, timer };
    });
  }

  #take() {
    const pending = this.#pending;
    this.#pending = null;
    clearTimeout(pending?.timer);
    return pending;
  }

  #fail(error) {
    this.#failure ??= error;
    this.#take()?.reject(this.#failure);
  }

  // The other end can neither answer what was not asked, nor answer twice, nor make the page say or
  // do anything that its own code does not.
  #receive(data) {
    let message;
    try {
      // Code in pages might take this name for the prototype of an object.
      message = JSON.parse(data, (key, value) => key === "__proto__" ? undefined : value);
    } catch {
      return this.#fail(wrongAnswer());
    }
    const id = this.#pending?.id; // undefined while nothing is asked
    if (id && message?.method === "progress" && message.params?.id === id) {
      if (STATES.has(message.params.state)) this.#pending.onProgress?.(message.params.state);
    } else if (!id || message?.jsonrpc !== "2.0" || message.id !== id) {
      this.#fail(wrongAnswer());
    } else if (message.error) {
      const { data, message: text } = message.error;
      const code = CODES.has(data?.code) ? data.code : "internal";
      this.#fail(new CRSError(code, typeof text === "string" ? text : "The CRS software refused."));
    } else {
      this.#take().resolve(message.result);
    }
  }
}

// permissionState is "granted", "prompt", "denied", or "" in browsers that do not ask.
async function permissionState() {
  for (const name of ["loopback-network", "local-network-access"]) {
    try {
      return (await navigator.permissions.query({ name })).state;
    } catch {
      // This browser does not know the permission.
    }
  }
  return "";
}

function permissionDenied() {
  return new CRSError("permission_denied", "The browser does not let this site reach programs of this computer.");
}

// The surrounding page keeps this one from asking. In a tab of its own it may.
function inFrame() {
  return new CRSError("insecure_context", "The page runs in a frame.");
}

function wrongAnswer() {
  return new CRSError("internal", "The CRS software answered something that is not understood.");
}

function noAnswer() {
  return new CRSError("bridge_unavailable", "The CRS software does not answer in time.");
}

function cancelled(signal) {
  return new CRSError("user_cancelled", "The login was cancelled.", { cause: signal.reason });
}
