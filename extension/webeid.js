// CRS: pages that use web-eid.js, as its own extension would answer them: see
// https://github.com/web-eid/web-eid-system-architecture-doc. Only where the citizen allowed the
// site to ask for logins before; elsewhere, and where another extension answers, this one is silent.

"use strict";

// The versions of Web eID that this speaks. Its library compares the first number alone.
const WEB_EID = "2.0.0";

const FOREIGN_MS = 200; // for another extension to answer

// The library gives up after a second without an acknowledgement, and a program that has to start may
// take longer to say whether the site is allowed. The acknowledgement does not wait for that: it says
// that there is an extension, as "found" does. Later than LATE_MS the page may have given up.
const ACK_MS = 600;
const LATE_MS = 900;
const START_MS = 20_000; // for the program and its service

// The time that the citizen has, unless the page says otherwise, and at most. The page itself waits
// PAGE_MS longer, for the program to start.
const LOGIN_MS = 120_000;
const LONGEST_MS = 300_000;
const PAGE_MS = 5_000;

// The library knows only these codes, but keeps what stands beside them: our own code.
const WEB_EID_CODES = {
  invalid_request: "NATIVE_INVALID_ARGUMENT",
  unsupported_version: "VERSION_MISMATCH",
  origin_denied: "USER_CANCELLED",
  user_cancelled: "USER_CANCELLED",
  busy: "ACTION_PENDING",
  timeout: "USER_TIMEOUT",
  bridge_unavailable: "NATIVE_UNAVAILABLE",
};

// "authenticate" is a login; the two after it would give away the codice fiscale without a PIN, and
// sign what a page chose. They fail, and no card is touched.
const WEB_EID_ACTIONS = ["web-eid:status", "web-eid:authenticate", "web-eid:get-signing-certificate", "web-eid:sign"];

const acknowledged = new Map(); // by action: how many acknowledgements were seen, ours too

window.addEventListener("message", (event) => {
  if (!isOfPage(event)) return;
  const action = event.data?.action;
  if (typeof action !== "string" || !action.startsWith("web-eid:")) return;
  if (action.endsWith("-ack")) {
    acknowledged.set(action, (acknowledged.get(action) ?? 0) + 1);
  } else if (WEB_EID_ACTIONS.includes(action) && clicked()) {
    answerWebEID(event.data, event.timeStamp);
  }
});

async function answerWebEID({ action, libraryVersion, challengeNonce, options }, began) {
  const acks = () => acknowledged.get(action + "-ack") ?? 0;
  const seen = acks();
  const another = () => acks() > seen + answered;
  const channel = Symbol(action); // no page can name it, nor does another request have it
  let answered = false; // with an acknowledgement: the page has heard of us
  let timer = null;
  const tell = (kind, fields) => window.postMessage({ ...fields, action: `${action}-${kind}` }, location.origin);
  const finish = (kind, fields) => {
    clearTimeout(timer);
    if (connection?.channel === channel) disconnect();
    if (answered && kind) tell(kind, fields);
  };
  const acknowledge = () => {
    // The citizen must not be asked for a PIN that the page no longer waits for.
    if (performance.now() - began > LATE_MS) return false;
    tell("ack");
    return answered = true;
  };
  const fail = (code, message = "The CRS software did not log in.") => {
    const known = WEB_EID_CODES[code] ?? "NATIVE_FATAL";
    const error = { code: `ERR_WEBEID_${known}`, message, crsCode: code };
    if (known === "VERSION_MISMATCH") error.requiresUpdate = { extension: false, nativeApp: true };
    finish("failure", { error });
  };

  await new Promise((resolve) => setTimeout(resolve, FOREIGN_MS));
  if (another()) return;
  timer = setTimeout(() => {
    if (another() || !acknowledge()) return finish();
    timer = setTimeout(fail, START_MS, "bridge_unavailable");
  }, ACK_MS - FOREIGN_MS);
  connect(channel, {
    open({ allowed }) {
      // Checked again: the program took its time, and so may have the other extension.
      if (another()) return finish();
      if (!allowed) return fail("bridge_unavailable"); // as if there were no program
      if (!answered && !acknowledge()) return finish();
      clearTimeout(timer);
      if (action === "web-eid:status") {
        givenBack = performance.now() + CLICK_MS; // pages ask for the login next
        return finish("success", { library: libraryVersion, extension: WEB_EID, nativeApp: WEB_EID });
      }
      if (action !== "web-eid:authenticate") return fail("invalid_request", "The CRS software only logs in.");
      if (typeof challengeNonce !== "string") {
        return finish("failure", { error: { code: "ERR_WEBEID_MISSING_PARAMETER", message: "challengeNonce is missing.", crsCode: "invalid_request" } });
      }
      const asked = Number(options?.userInteractionTimeout) || LOGIN_MS;
      const left = Math.min(asked, LONGEST_MS, asked + PAGE_MS - (performance.now() - began));
      if (left <= 0) return fail("timeout");
      timer = setTimeout(fail, left, "timeout");
      const params = { challenge: challengeNonce };
      if (typeof options?.lang === "string") params.lang = options.lang;
      send(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "authenticate", params }));
    },
    message(text) {
      const { id, result, error } = JSON.parse(text);
      if (id !== 1) return; // progress, of which this protocol knows nothing
      if (error) fail(error.data?.code ?? "internal", error.message);
      else finish("success", result.token);
    },
    closed: (code) => fail(code),
  });
}
