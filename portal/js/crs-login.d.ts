import type { Code, LoginResult, Progress } from "./crs.js";

/** How the button talks to the portal's server. */
export interface Portal {
  /** Returns the nonce for this browser and this login. */
  challenge(): Promise<string>;
  /** Hands the token to the server, and rejects when that refuses it. */
  login(result: LoginResult): Promise<unknown>;
}

/**
 * `<crs-login>`: a button that logs in, with its progress and what to do when something fails.
 *
 * Attributes: `href`, where to go after the login; `personal-data`, to ask for the personal data on
 * the card too; `lang` of it or of an element around it: it, en, de.
 * Events: `crs-login` (cancelable: then it does not go to `href`), `crs-progress` with
 * `detail.state`, `crs-error` with `detail.code`.
 * Style: `--crs-button`, `--crs-button-ink`, `--crs-ink`, `--crs-error`, `--crs-focus`,
 * `--crs-radius`, `--crs-font`.
 */
export interface CRSLoginElement extends HTMLElement {
  /** Without it, what package portal serves beside this file. */
  portal: Portal | null;
}

declare global {
  interface HTMLElementTagNameMap { "crs-login": CRSLoginElement }
  interface HTMLElementEventMap {
    "crs-login": CustomEvent<null>;
    "crs-progress": CustomEvent<{ state: Progress | "start" | "checking" }>;
    "crs-error": CustomEvent<{ code: Code | "portal" }>;
  }
}
