/**
 * What the citizen is doing now. Not every login passes through every state: once the citizen has
 * allowed the site there is no `consent`, and no `permission` in browsers that do not ask.
 */
export type Progress =
  /** The browser is about to ask whether this site may reach programs of this computer. */
  | "permission"
  /** The CRS software asks the citizen whether this site may ask for logins: the first time only. */
  | "consent"
  /** It waits for a card in the reader. */
  | "card"
  /** It waits for the PIN, in a window of its own. The page never sees a PIN. */
  | "pin"
  /** The card signs, which takes a second: it must stay in the reader. */
  | "signing";

/**
 * Why there is no token: a closed list. A wrong PIN and a missing card are not on it: the CRS
 * software tells the citizen about those itself, and waits.
 */
export type Code =
  /** No CRS software answers: it is not installed or not running, the citizen blocked this site, or it went away during the login. */
  | "bridge_unavailable"
  /** The browser does not let this site reach programs of this computer, because the citizen or an administrator said so. */
  | "permission_denied"
  /** The citizen closed the browser's question without an answer. The next click asks again; after the third time the browser counts it as a no. */
  | "permission_dismissed"
  /** The page was not loaded over https, or it runs in a frame, without the extension or within a site that the citizen did not allow. A worker or a server is not a page. */
  | "insecure_context"
  /** The CRS software on this computer is too old or too new for this client. */
  | "unsupported_version"
  /** The citizen blocked this site, or closed its questions again and again, which silences it for ten minutes. */
  | "origin_denied"
  /** Another login is in progress on this computer, perhaps of another site, or the citizen was asked about a new site within the last minute. */
  | "busy"
  /** The citizen closed the window for the PIN, or the signal was aborted. */
  | "user_cancelled"
  /** The citizen did not answer in time. */
  | "timeout"
  /** The card in the reader cannot log in: it is of another kind, or was never activated. */
  | "card_unusable"
  /** The card or its reader failed, usually because the card was taken out too early. */
  | "card_error"
  /** After three wrong PINs the card takes no more. The PUK, a second code that came with the PIN, unblocks it. */
  | "pin_blocked"
  /** The challenge or another option is malformed: an error of the portal. */
  | "invalid_request"
  /** The CRS software failed. */
  | "internal";

/** What `login` rejects with. Its message is English and for the log of a developer; show a text for `code`. */
export class CRSError extends Error {
  /** Why, as one word of the list below. */
  readonly code: Code;
}

/** What `login` takes. */
export interface LoginOptions {
  /**
   * What the card is to sign, made by the portal's server: at least 32 random bytes, new for each
   * login and tied to this browser's session, in base64 (44 to 128 characters). Prefer a
   * function: it is called once the CRS software has been reached, so that no challenge ages while
   * the browser asks the citizen for a permission, and none is made if nobody answers.
   */
  challenge: string | (() => string | Promise<string>);
  /** Language of the CRS software's windows; by default, that of the citizen's computer. */
  lang?: "it" | "en" | "de";
  /** Ask for the personal data on the card too: name, birth, residence. The citizen may refuse and still log in. */
  personalData?: boolean;
  /** Aborting it ends the login with `user_cancelled` and closes the citizen's windows. */
  signal?: AbortSignal;
  /** Called with each state, to tell the citizen what to do. */
  onProgress?: (state: Progress) => void;
}

/** What `login` resolves with. Send it to the portal's server as it is: nothing in it can be trusted until the server has verified it. */
export interface LoginResult {
  /** A Web eID authentication token: the certificate that names the holder of the card, and the signature. */
  token: object;
  /** The personal data as they are on the card (EF.DatiPersonali), in base64; absent when not asked for, refused or not on the card. */
  personalData?: string;
}

/**
 * Has the challenge signed by the citizen's card. Call it from the handler of a click: otherwise
 * extension and browser do not answer. It never retries on its own. It rejects with a CRSError, or
 * with what `challenge()` rejected with.
 */
export function login(options: LoginOptions): Promise<LoginResult>;

/** What `probe` found. */
export interface Ways {
  /** The page was loaded over https. Without that, nothing else is tried. */
  secure: boolean;
  /** The browser extension answers. */
  extension: boolean;
  /** The CRS software through the extension: "ready", or why not; "" without the extension. */
  native: "ready" | Code | "";
  /** The browser's permission to reach programs of this computer; "" where it does not ask. */
  permission: PermissionState | "";
  /** The CRS software through a WebSocket to this computer: "ready", or why not. */
  socket: "ready" | Code | "";
}

/**
 * Finds out which ways lead from this page to the CRS software, for a help page. It logs nobody in
 * and touches no card. Call it from the handler of a click.
 */
export function probe(options?: Pick<LoginOptions, "signal" | "onProgress">): Promise<Ways>;
