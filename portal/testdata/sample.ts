// A portal in TypeScript, which uses every name of the client. It is compiled, with the package as
// npm packs it, and not run.

import { CRSError, login, probe } from "@crs-bridge/crs";
import type { Code, LoginOptions, LoginResult, Progress, Ways } from "@crs-bridge/crs";
import "@crs-bridge/crs/crs-login.js";
import type { CRSLoginElement, Portal } from "@crs-bridge/crs/crs-login.js";

const states: Record<Progress, string> = { permission: "", consent: "", card: "", pin: "", signing: "" };

const reasons: Record<Code, string> = {
  bridge_unavailable: "", permission_denied: "", permission_dismissed: "", insecure_context: "", unsupported_version: "", origin_denied: "",
  busy: "", user_cancelled: "", timeout: "", card_unusable: "", card_error: "", pin_blocked: "", invalid_request: "", internal: "",
};

const stop = new AbortController();

const options: LoginOptions = {
  challenge: async () => "Y2hhbGxlbmdl",
  lang: "de",
  personalData: true,
  signal: stop.signal,
  onProgress: (state) => { document.title = states[state]; },
};

async function logIn(): Promise<LoginResult | string> {
  try {
    const { token, personalData }: LoginResult = await login(options);
    return personalData === undefined ? { token } : { token, personalData };
  } catch (error) {
    return error instanceof CRSError ? reasons[error.code] + error.message : String(error);
  }
}

async function help(): Promise<boolean> {
  const ways: Ways = await probe({ signal: stop.signal, onProgress: (state) => states[state] });
  return ways.secure && (ways.native === "ready" || ways.socket === "ready") && ways.permission !== "denied" && ways.extension;
}

const portal: Portal = {
  challenge: async () => "Y2hhbGxlbmdl",
  login: async ({ token }) => JSON.stringify(token),
};

const element = document.querySelector("crs-login");
if (element) {
  const button: CRSLoginElement = element;
  button.portal = portal;
  button.addEventListener("crs-progress", ({ detail }) => detail.state === "checking" ? "" : detail.state);
  button.addEventListener("crs-error", ({ detail }) => detail.code === "portal" ? detail.reason ?? "" : reasons[detail.code]);
  button.addEventListener("crs-login", (event) => event.preventDefault());
}

// What is wrong is refused.
// @ts-expect-error: a login needs a challenge
login({});
// @ts-expect-error: the dialogs speak three languages
login({ challenge: "", lang: "fr" });
// @ts-expect-error: a page never names its origin
login({ challenge: "", origin: "https://portale.example" });
// @ts-expect-error: no such state
const unknown: Progress = "puk";

export { help, logIn, unknown };
