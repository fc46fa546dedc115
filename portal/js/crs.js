// CRS: log in with a smart card. https://github.com/crs-bridge/crs, EUPL-1.2
//
// login() asks the bridge, a program on the citizen's computer, to have a challenge signed by
// the citizen's card. The page never names its own origin, because the bridge learns it from
// the browser, and never sees a PIN. Types and error codes are in crs.d.ts.

const PORTS = [27770, 27771, 27772];
const PROTOCOL = 1;

// How long a port may take to say hello, and how long it may while the browser is perhaps
// asking the citizen whether this site may reach programs of this computer.
const HELLO_MS = 5_000;
const PERMISSION_MS = 120_000;

// What the bridge can answer; see the protocol. The client adds bridge_unavailable,
// permission_denied and insecure_context.
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
  if (!window.isSecureContext) {
    throw new CRSError("insecure_context", "The page was not loaded over https.");
  }
  // In a frame the citizen cannot tell whose button it is, and the bridge sees the frame's
  // origin only.
  if (window.top !== window) {
    throw new CRSError("insecure_context", "The page runs in a frame.");
  }
  const bridge = await connect(signal, onProgress);
  try {
    const result = await bridge.call("authenticate", { challenge, lang, personalData }, { onProgress });
    if (typeof result?.token !== "object" || result.token === null) throw wrongAnswer();
    return result;
  } finally {
    bridge.close();
  }
}

// connect tries one port after the other, never two at once: while the browser asks the
// citizen about one connection, others may fail.
async function connect(signal, onProgress) {
  let permission = await permissionState();
  if (permission === "denied") throw permissionDenied();
  if (permission === "prompt") onProgress("permission");
  let failure = new CRSError("bridge_unavailable", "The CRS software does not answer on this computer.");
  for (const port of PORTS) {
    let bridge;
    try {
      bridge = new Bridge(port, signal);
      await bridge.open(permission === "prompt" ? PERMISSION_MS : HELLO_MS);
      const hello = await bridge.call("hello", { client: "crs.js/1.0", protocol: PROTOCOL }, { timeout: HELLO_MS });
      if (hello?.protocol !== PROTOCOL) throw wrongAnswer();
      return bridge;
    } catch (error) {
      bridge?.close();
      if (error.code === "user_cancelled") throw error;
      if (error.code === "unsupported_version") failure = error;
    }
    // A handshake that the bridge refused, one that the browser blocked, and a port where
    // nobody listens all look the same here. Only the permission tells.
    permission = await permissionState();
    if (permission === "denied") throw permissionDenied();
  }
  throw failure;
}

// Bridge is one connection and what is called over it, one call at a time.
class Bridge {
  #socket;
  #signal;
  #lastID = 0;
  #pending = null; // what is waited for: {id, onProgress, resolve, reject, timer}
  #failure = null; // why the connection is over

  constructor(port, signal) {
    if (signal?.aborted) throw cancelled(signal);
    // Throws in browsers that take the bridge for mixed content. Nothing is to be closed then.
    this.#socket = new WebSocket(`ws://127.0.0.1:${port}/v1`);
    this.#signal = signal;
    signal?.addEventListener("abort", this.#abort);
    this.#socket.onopen = () => this.#take()?.resolve();
    this.#socket.onmessage = (event) => this.#receive(event.data);
    // A connection that the page's own policy forbids ends with an error and no close.
    this.#socket.onclose = this.#socket.onerror = () =>
      this.#fail(new CRSError("bridge_unavailable", "The connection to the CRS software is gone."));
  }

  open(timeout) {
    return this.#wait({ timeout });
  }

  call(method, params, { timeout, onProgress } = {}) {
    return this.#wait({ id: this.#send(method, params), timeout, onProgress });
  }

  close() {
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#socket.close();
  }

  #abort = () => {
    if (this.#pending?.id) this.#send("cancel", { id: this.#pending.id });
    this.#fail(cancelled(this.#signal));
  };

  #send(method, params) {
    const id = ++this.#lastID;
    this.#socket.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
    return id;
  }

  #wait({ id, timeout, onProgress }) {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      const timer = timeout && setTimeout(() => this.#fail(wrongAnswer()), timeout);
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

  #receive(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return this.#fail(wrongAnswer());
    }
    const pending = this.#pending;
    if (pending && message?.method === "progress" && message.params?.id === pending.id) {
      pending.onProgress?.(message.params.state);
    } else if (!pending || message?.jsonrpc !== "2.0" || message.id !== pending.id) {
      this.#fail(wrongAnswer());
    } else if (message.error) {
      const code = message.error.data?.code;
      this.#fail(new CRSError(CODES.has(code) ? code : "internal", message.error.message));
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
      // This browser does not know the name.
    }
  }
  return "";
}

function permissionDenied() {
  return new CRSError("permission_denied", "The browser does not let this site reach programs of this computer.");
}

function wrongAnswer() {
  return new CRSError("internal", "The CRS software answered something that is not understood.");
}

function cancelled(signal) {
  return new CRSError("user_cancelled", "The login was cancelled.", { cause: signal.reason });
}
