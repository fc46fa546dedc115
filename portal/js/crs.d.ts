/** What the citizen is doing now. */
export type Progress =
  /** The browser may ask whether this site may reach programs of this computer. */
  | "permission"
  /** The bridge asks whether this site may ask for logins: the first time only. */
  | "consent"
  /** Waiting for a card. */
  | "card"
  /** Waiting for the PIN. */
  | "pin"
  /** The card signs: do not remove it. */
  | "signing";

/** Why there is no token: a closed list. */
export type Code =
  /** The challenge or another option is malformed. */
  | "invalid_request"
  /** The bridge on this computer is too old or too new for this client. */
  | "unsupported_version"
  /** The citizen does not want logins from this site. */
  | "origin_denied"
  /** Another login is in progress on this computer. */
  | "busy"
  /** The citizen closed a dialog, or the signal was aborted. */
  | "user_cancelled"
  /** The login took too long. */
  | "timeout"
  /** The card is not one that can log in. */
  | "card_unusable"
  /** The card or its reader failed. */
  | "card_error"
  /** The PIN is blocked; the PUK unblocks it. */
  | "pin_blocked"
  /** The bridge failed. */
  | "internal"
  /** No bridge answers on this computer, or it refuses this site, or it went away. */
  | "bridge_unavailable"
  /** The browser does not let this site reach programs of this computer. */
  | "permission_denied"
  /** The page is not loaded over https, or runs in a frame. */
  | "insecure_context";

export class CRSError extends Error {
  readonly code: Code;
}

export interface LoginOptions {
  /**
   * The portal's nonce for this browser and this login: 44 to 128 characters of
   * base64. A function is called when the citizen's program was reached, so that the click does not
   * grow old while the portal answers.
   */
  challenge: string | (() => string | Promise<string>);
  /** Language of the bridge's dialogs; without it, that of the citizen's computer. */
  lang?: "it" | "en" | "de";
  /** Ask for the personal data on the card as well. The citizen may refuse and still log in. */
  personalData?: boolean;
  /** Aborting it ends the login with user_cancelled and closes the citizen's dialogs. */
  signal?: AbortSignal;
  onProgress?: (state: Progress) => void;
}

/** To be handed to the portal's server as it is. Nothing in it is verified yet. */
export interface LoginResult {
  /** A Web eID authentication token. */
  token: object;
  /** EF.DatiPersonali in base64; absent when refused or not on the card. */
  personalData?: string;
}

/**
 * Has the challenge signed by the citizen's card. Call it from the handler of a click. It
 * rejects with a CRSError.
 */
export function login(options: LoginOptions): Promise<LoginResult>;

/** Which ways lead from a page to the citizen's program, for a page of help. */
export interface Ways {
  /** The page was loaded over https. Without that, nothing else is tried. */
  secure: boolean;
  /** The browser extension answers. */
  extension: boolean;
  /** The program by way of the extension: "ready", or why not; "" without the extension. */
  native: "ready" | Code | "";
  /** The browser's permission to reach programs of this computer; "" where it does not ask. */
  permission: PermissionState | "";
  /** The program by way of the network of this computer: "ready", or why not. */
  socket: "ready" | Code;
}

/** Tries all ways, and logs nobody in. Call it from the handler of a click. */
export function probe(options?: Pick<LoginOptions, "signal" | "onProgress">): Promise<Ways>;
