import type { Code, LoginResult, Progress } from "./crs.js";

/** How the button talks to the portal's server. */
export interface Portal {
  /** Asks the server for a new challenge, see `LoginOptions`. */
  challenge(): Promise<string>;
  /** Hands the server what the card signed, and rejects when the server refuses it. If it rejects with strings in `code` and `reason`, these are those of `crs-error`. */
  login(result: LoginResult): Promise<unknown>;
}

/**
 * `<crs-login>`: a button that logs in. It shows what the citizen has to do, and what helps when
 * something fails, in Italian, English and German. It needs no style and no script of the page, and
 * works under a Content-Security-Policy that forbids inline ones.
 *
 * @attr href - Where to go after the login. Without it the page stays; listen to `crs-login`.
 * @attr personal-data - Ask for the personal data on the card too.
 * @attr lang - `it`, `en` or `de`, here or on an element around it; else the browser's, else Italian.
 * @fires crs-progress - A state began, `detail.state`: one of `Progress`, `start` before them all, or `checking` while the server verifies.
 * @fires crs-error - The login failed, `detail.code`: a `Code`, or `portal` when the server refused, and then `detail.reason`: the server's own word for it.
 * @fires crs-login - The citizen is logged in. `preventDefault()` keeps it from going to `href`.
 * @cssprop --crs-button - Color of the button and of the line beside the text.
 * @cssprop --crs-button-ink - Color of the text on the button.
 * @cssprop --crs-ink - Color of the text below it.
 * @cssprop --crs-error - Color of the line beside an error.
 * @cssprop --crs-focus - Color of the outline of the focused button.
 * @cssprop --crs-radius - Radius of the button's corners.
 * @cssprop --crs-font - Font family of the whole element.
 */
export interface CRSLoginElement extends HTMLElement {
  /** The portal's server; by default, what package portal serves beside this file. */
  portal: Portal | null;
}

declare global {
  interface HTMLElementTagNameMap {
    "crs-login": CRSLoginElement;
  }
  interface HTMLElementEventMap {
    "crs-progress": CustomEvent<{ state: Progress | "start" | "checking" }>;
    "crs-error": CustomEvent<{ code: Code | "portal"; reason?: string }>;
    "crs-login": CustomEvent<null>;
  }
}
