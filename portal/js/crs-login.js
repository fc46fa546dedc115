// CRS: the button of a login with a smart card. https://github.com/crs-bridge/crs, EUPL-1.2
//
//   <script type="module" src="/crs/crs-login.js"></script>
//   <crs-login href="/account"></crs-login>
//
// It needs no style and no script of the page, and works under a policy that forbids inline ones.
// Types, events and CSS properties are in crs-login.d.ts.

import { login } from "./crs.js";

// What the button says: by language, then by state or code: [title, what to do].
const TEXTS = {
  it: {
    button: "Accedi", cancel: "Annulla",
    start: ["Un momento", "Cerco il programma CRS su questo computer."],
    permission: ["Il browser sta per chiederti un permesso", "Scegli «Consenti», così questo sito può raggiungere il programma CRS."],
    consent: ["Conferma il sito", "Rispondi Sì nella finestra che si è aperta, se mostra l’indirizzo di questo sito."],
    card: ["Inserisci la tessera", "Metti la tessera nel lettore, dalla parte del chip."],
    pin: ["Scrivi il PIN", "Scrivilo nella finestra che si è aperta. Il sito non lo vede."],
    signing: ["Attendi", "Non togliere la tessera dal lettore."],
    checking: ["Quasi fatto", "Il portale controlla la tessera."],
    bridge_unavailable: ["Il programma CRS non risponde", "Installa o avvia il programma CRS su questo computer, poi premi Accedi. Se hai bloccato questo sito, apri il menu del programma, alla voce «Siti autorizzati»."],
    permission_denied: ["Il browser blocca il collegamento", "Premi il simbolo accanto all’indirizzo del sito, consenti l’accesso alle app di questo dispositivo, poi premi Accedi."],
    permission_dismissed: ["Manca il permesso del browser", "La domanda del browser è stata chiusa. Premi Accedi e scegli «Consenti»."],
    insecure_context: ["Pagina non sicura", "Apri il sito in una scheda nuova, con l’indirizzo che comincia con https."],
    unsupported_version: ["Programma CRS da aggiornare", "Installa la versione più recente e riavvia il computer, poi premi Accedi."],
    origin_denied: ["Questo sito non può chiedere l’accesso", "Aspetta dieci minuti, oppure apri il menu del programma CRS, alla voce «Siti autorizzati». Poi premi Accedi."],
    busy: ["Il programma CRS è occupato", "Se c’è un altro accesso in corso, completalo o chiudilo. Altrimenti aspetta un minuto. Poi premi Accedi."],
    user_cancelled: ["Accesso annullato", "Nessun dato è stato inviato. Se vuoi accedere, premi Accedi."],
    timeout: ["Tempo scaduto", "Tieni pronti tessera e PIN, poi premi Accedi."],
    card_unusable: ["Questa tessera non va bene", "Inserisci la tessera sanitaria (TS-CNS) o la CRS, attivata, poi premi Accedi."],
    card_error: ["La tessera non risponde", "Togli la tessera, pulisci il chip con un panno asciutto, rimettila e premi Accedi."],
    pin_blocked: ["Il PIN è bloccato", "Sbloccalo con il codice PUK dal menu del programma CRS, poi premi Accedi."],
    invalid_request: ["Il portale ha un problema", "Non dipende da te. Riprova più tardi, oppure avvisa l’assistenza del portale."],
    portal: ["Il portale non ha accettato la tessera", "Premi Accedi per riprovare. Se succede ancora, chiedi aiuto all’assistenza del portale."],
    portal_challenge: ["La richiesta di accesso è scaduta", "Premi Accedi per riprovare."],
    portal_expired: ["La tessera è scaduta", "Controlla la data sulla tessera, e richiedi quella nuova alla tua ASL."],
    portal_not_yet_valid: ["La tessera non è ancora valida", "Riprova domani. Se succede ancora, chiedi aiuto all’assistenza del portale."],
    portal_issuer: ["Il portale non conosce questa tessera", "Usa un’altra tessera, oppure chiedi all’assistenza del portale quali tessere accetta."],
    portal_certificate: ["Il portale non riesce a leggere questa tessera", "La tessera non è guasta. Segnala il problema all’assistenza del portale."],
    portal_key: ["Il portale non accetta più questo tipo di tessera", "Usa una tessera più recente, oppure chiedi aiuto all’assistenza del portale."],
    portal_other_person: ["I dati non sono di questa tessera", "Togli la tessera, rimettila e premi Accedi."],
    portal_internal: ["Il portale ha un problema", "Non dipende da te. Riprova più tardi, oppure avvisa l’assistenza del portale."],
    portal_unconfigured: ["Il portale ha un problema", "Non dipende da te. Riprova più tardi, oppure avvisa l’assistenza del portale."],
    internal: ["Qualcosa non ha funzionato", "Premi Accedi per riprovare. Se succede ancora, riavvia il programma CRS."],
  },
  en: {
    button: "Log in", cancel: "Cancel",
    start: ["One moment", "Looking for the CRS software on this computer."],
    permission: ["Your browser will ask for a permission", "Choose “Allow”, so that this site can reach the CRS software."],
    consent: ["Confirm the site", "Answer Yes in the window that has opened, if it shows the address of this site."],
    card: ["Insert the card", "Put the card into the reader, chip first."],
    pin: ["Type the PIN", "Type it into the window that has opened. The site does not see it."],
    signing: ["Please wait", "Do not take the card out of the reader."],
    checking: ["Almost done", "The portal is checking the card."],
    bridge_unavailable: ["The CRS software does not answer", "Install or start the CRS software on this computer, then press Log in. If you blocked this site, open the menu of the software, under “Allowed sites”."],
    permission_denied: ["The browser blocks the connection", "Press the symbol beside the site’s address, allow access to apps on this device, then press Log in."],
    permission_dismissed: ["The browser’s permission is missing", "The browser’s question was closed. Press Log in and choose “Allow”."],
    insecure_context: ["Page not secure", "Open the site in a new tab, with an address that begins with https."],
    unsupported_version: ["The CRS software needs an update", "Install the latest version and restart the computer, then press Log in."],
    origin_denied: ["This site may not ask for a login", "Wait ten minutes, or open the menu of the CRS software, under “Allowed sites”. Then press Log in."],
    busy: ["The CRS software is busy", "If another login is in progress, finish or close it. Otherwise wait a minute. Then press Log in."],
    user_cancelled: ["Login cancelled", "No data were sent. Press Log in if you want to log in."],
    timeout: ["Time is up", "Have the card and the PIN ready, then press Log in."],
    card_unusable: ["This card cannot be used", "Insert a health card (TS-CNS) or a CRS that has been activated, then press Log in."],
    card_error: ["The card does not answer", "Take the card out, wipe its chip with a dry cloth, put it back and press Log in."],
    pin_blocked: ["The PIN is blocked", "Unblock it with the PUK in the menu of the CRS software, then press Log in."],
    invalid_request: ["The portal has a problem", "It is not your fault. Try again later, or tell the portal’s help desk."],
    portal: ["The portal did not accept the card", "Press Log in to try again. If it happens again, ask the portal’s help desk."],
    portal_challenge: ["The login request has expired", "Press Log in to try again."],
    portal_expired: ["The card has expired", "Check the date on the card, and ask your local health office for a new one."],
    portal_not_yet_valid: ["The card is not valid yet", "Try again tomorrow. If it happens again, ask the portal’s help desk."],
    portal_issuer: ["The portal does not know this card", "Use another card, or ask the portal’s help desk which cards it accepts."],
    portal_certificate: ["The portal cannot read this card", "Nothing is wrong with the card. Please tell the portal’s help desk."],
    portal_key: ["The portal no longer accepts this kind of card", "Use a newer card, or ask the portal’s help desk."],
    portal_other_person: ["The data are not those of this card", "Take the card out, put it back and press Log in."],
    portal_internal: ["The portal has a problem", "It is not your fault. Try again later, or tell the portal’s help desk."],
    portal_unconfigured: ["The portal has a problem", "It is not your fault. Try again later, or tell the portal’s help desk."],
    internal: ["Something went wrong", "Press Log in to try again. If it happens again, restart the CRS software."],
  },
  de: {
    button: "Anmelden", cancel: "Abbrechen",
    start: ["Einen Moment", "Die CRS-Software wird auf diesem Computer gesucht."],
    permission: ["Ihr Browser fragt gleich um Erlaubnis", "Wählen Sie „Zulassen“, damit diese Website die CRS-Software erreicht."],
    consent: ["Website bestätigen", "Antworten Sie im geöffneten Fenster mit Ja, wenn es die Adresse dieser Website zeigt."],
    card: ["Karte einstecken", "Stecken Sie die Karte mit dem Chip voran in das Lesegerät."],
    pin: ["PIN eingeben", "Geben Sie ihn im geöffneten Fenster ein. Die Website sieht ihn nicht."],
    signing: ["Bitte warten", "Lassen Sie die Karte im Lesegerät."],
    checking: ["Fast fertig", "Das Portal prüft die Karte."],
    bridge_unavailable: ["Die CRS-Software antwortet nicht", "Installieren oder starten Sie die CRS-Software und drücken Sie „Anmelden“. Haben Sie diese Website gesperrt, öffnen Sie in deren Menü „Erlaubte Websites“."],
    permission_denied: ["Der Browser blockiert die Verbindung", "Klicken Sie auf das Symbol neben der Adresse, erlauben Sie den Zugriff auf Apps auf diesem Gerät und drücken Sie „Anmelden“."],
    permission_dismissed: ["Die Erlaubnis des Browsers fehlt", "Die Frage des Browsers wurde geschlossen. Drücken Sie „Anmelden“ und wählen Sie „Zulassen“."],
    insecure_context: ["Seite nicht sicher", "Öffnen Sie die Website in einem neuen Tab, mit einer Adresse, die mit https beginnt."],
    unsupported_version: ["Die CRS-Software muss aktualisiert werden", "Installieren Sie die neueste Version, starten Sie den Computer neu und drücken Sie „Anmelden“."],
    origin_denied: ["Diese Website darf keine Anmeldung verlangen", "Warten Sie zehn Minuten, oder öffnen Sie im Menü der CRS-Software „Erlaubte Websites“. Drücken Sie dann „Anmelden“."],
    busy: ["Die CRS-Software ist beschäftigt", "Wenn schon eine Anmeldung läuft, schließen Sie sie ab oder brechen Sie sie ab. Sonst warten Sie eine Minute. Drücken Sie dann „Anmelden“."],
    user_cancelled: ["Anmeldung abgebrochen", "Es wurden keine Daten gesendet. Wenn Sie sich anmelden möchten, drücken Sie „Anmelden“."],
    timeout: ["Zeit abgelaufen", "Halten Sie Karte und PIN bereit und drücken Sie „Anmelden“."],
    card_unusable: ["Diese Karte ist nicht verwendbar", "Stecken Sie eine aktivierte Gesundheitskarte (Bürgerkarte, TS-CNS) oder CRS ein und drücken Sie „Anmelden“."],
    card_error: ["Die Karte antwortet nicht", "Nehmen Sie die Karte heraus, wischen Sie den Chip mit einem trockenen Tuch ab, stecken Sie sie wieder ein und drücken Sie „Anmelden“."],
    pin_blocked: ["Der PIN ist gesperrt", "Entsperren Sie ihn mit dem PUK im Menü der CRS-Software und drücken Sie „Anmelden“."],
    invalid_request: ["Das Portal hat ein Problem", "Es liegt nicht an Ihnen. Versuchen Sie es später noch einmal oder wenden Sie sich an den Support des Portals."],
    portal: ["Das Portal hat die Karte nicht angenommen", "Drücken Sie „Anmelden“, um es noch einmal zu versuchen. Hilft das nicht, wenden Sie sich an den Support des Portals."],
    portal_challenge: ["Die Anfrage ist abgelaufen", "Drücken Sie „Anmelden“, um es noch einmal zu versuchen."],
    portal_expired: ["Die Karte ist abgelaufen", "Prüfen Sie das Datum auf der Karte, und beantragen Sie die neue bei Ihrem Sanitätsbetrieb."],
    portal_not_yet_valid: ["Die Karte ist noch nicht gültig", "Versuchen Sie es morgen. Hilft das nicht, wenden Sie sich an die Hilfe des Portals."],
    portal_issuer: ["Das Portal kennt diese Karte nicht", "Nehmen Sie eine andere Karte, oder fragen Sie die Hilfe des Portals, welche Karten es annimmt."],
    portal_certificate: ["Das Portal kann diese Karte nicht lesen", "Die Karte ist in Ordnung. Bitte melden Sie es der Hilfe des Portals."],
    portal_key: ["Das Portal nimmt diese Art von Karte nicht mehr an", "Nehmen Sie eine neuere Karte, oder wenden Sie sich an die Hilfe des Portals."],
    portal_other_person: ["Die Daten gehören nicht zu dieser Karte", "Nehmen Sie die Karte heraus, stecken Sie sie wieder ein und drücken Sie „Anmelden“."],
    portal_internal: ["Das Portal hat ein Problem", "Es liegt nicht an Ihnen. Versuchen Sie es später, oder verständigen Sie die Hilfe des Portals."],
    portal_unconfigured: ["Das Portal hat ein Problem", "Es liegt nicht an Ihnen. Versuchen Sie es später, oder verständigen Sie die Hilfe des Portals."],
    internal: ["Etwas hat nicht funktioniert", "Drücken Sie „Anmelden“, um es noch einmal zu versuchen. Hilft das nicht, starten Sie die CRS-Software neu."],
  },
};

const STYLE = `
  :host { display: inline-block; max-width: 26rem; font-family: var(--crs-font, inherit); color: var(--crs-ink, #17233a); }
  button { font: inherit; font-weight: 700; padding: .7em 1.4em; border: 2px solid transparent; border-radius: var(--crs-radius, 4px); cursor: pointer; }
  .login { display: inline-flex; align-items: center; gap: .7em; color: var(--crs-button-ink, #fff); background: var(--crs-button, #0059b3); }
  .login[aria-disabled="true"] { opacity: .5; cursor: default; }
  .cancel { color: var(--crs-button, #0059b3); background: transparent; border-color: currentColor; margin-top: .8em; }
  button:focus-visible { outline: 3px solid var(--crs-focus, #b35900); outline-offset: 3px; }
  svg { width: 1.7em; height: 1.25em; }
  .says { margin: .8em 0 0; padding: 0 0 0 .9em; border-left: 5px solid var(--crs-button, #0059b3); }
  .says.error { border-color: var(--crs-error, #b3122f); }
  .says strong { display: block; }
  .says:empty, [hidden] { display: none; }
  @media (forced-colors: active) { .login { border-color: ButtonText; } }
`;

// A server that renders pages imports this file too, but has no HTMLElement.
class CRSLogin extends (globalThis.HTMLElement ?? Object) {
  #button = element("button", "login");
  #cancel = element("button", "cancel");
  #says = element("div", "says");
  #attempt = null; // aborts the running login

  /** Asks the portal for a challenge, and hands it the token: see crs-login.d.ts. */
  portal = null;

  constructor() {
    super();
    const style = new CSSStyleSheet(); // no page's policy forbids it
    style.replaceSync(STYLE);
    const root = this.attachShadow({ mode: "open", delegatesFocus: true });
    root.adoptedStyleSheets = [style];
    this.#button.type = this.#cancel.type = "button";
    this.#says.setAttribute("role", "status");
    this.#cancel.hidden = true;
    root.append(this.#button, this.#says, this.#cancel);
    this.#button.addEventListener("click", () => this.#logIn());
    this.#cancel.addEventListener("click", () => this.#attempt?.abort());
  }

  connectedCallback() {
    const { button, cancel } = this.#texts;
    const label = document.createElement("span");
    label.textContent = button;
    this.#button.replaceChildren(drawing(), label);
    this.#cancel.textContent = cancel;
  }

  disconnectedCallback() { this.#attempt?.abort(); }

  get #lang() {
    const lang = (this.closest("[lang]")?.lang ?? navigator.language).slice(0, 2).toLowerCase();
    return TEXTS[lang] ? lang : "it";
  }

  get #texts() { return TEXTS[this.#lang]; }

  async #logIn() {
    if (this.#attempt) return;
    this.#attempt = new AbortController();
    this.#button.setAttribute("aria-disabled", "true");
    this.#cancel.hidden = false;
    const portal = this.portal ?? mounted;
    try {
      this.#progress("start");
      const result = await login({
        challenge: () => portal.challenge(),
        lang: this.#lang,
        personalData: this.hasAttribute("personal-data"),
        signal: this.#attempt.signal,
        onProgress: (state) => this.#progress(state),
      });
      this.#progress("checking");
      await portal.login(result);
      this.#says.replaceChildren();
      const href = this.getAttribute("href");
      if (this.#tell("crs-login", null, true) && href) location.assign(href);
    } catch (error) {
      const code = typeof error?.code === "string" ? error.code : "internal";
      const reason = code === "portal" && typeof error.reason === "string" ? error.reason : undefined;
      this.#say(Object.hasOwn(this.#texts, `portal_${reason}`) ? `portal_${reason}` : code, "error");
      this.#tell("crs-error", { code, reason });
    } finally {
      this.#attempt = null;
      this.#button.removeAttribute("aria-disabled");
      this.#cancel.hidden = true;
      this.#button.focus();
    }
  }

  #progress(state) {
    this.#say(state, "");
    this.#tell("crs-progress", { state });
  }

  #say(key, kind) {
    const text = this.#texts[key]; // a code may be the portal's own, and any string
    const [title, next] = Array.isArray(text) ? text : this.#texts.internal;
    const strong = document.createElement("strong");
    strong.textContent = title;
    this.#says.className = `says ${kind}`;
    this.#says.replaceChildren(strong, next);
  }

  #tell(name, detail, cancelable = false) {
    return this.dispatchEvent(new CustomEvent(name, { detail, cancelable, bubbles: true, composed: true }));
  }
}

// mounted is a portal that serves this file from where package portal is mounted.
const mounted = {
  challenge: async () => (await post("challenge")).challenge,
  login: (result) => post("login", result),
};

async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  const reply = await fetch(new URL(path, import.meta.url), { method: "POST", headers, body: JSON.stringify(body) });
  if (!reply.ok) {
    const reason = (await reply.json().catch(() => null))?.error; // a Reason of package portal
    throw Object.assign(new Error("The portal refused."), { code: "portal", reason });
  }
  return reply.status === 204 ? null : reply.json();
}

function element(name, className) {
  const e = document.createElement(name);
  e.className = className;
  return e;
}

// drawing returns a picture of a card with its chip. It is not parsed from text, which some pages
// forbid.
function drawing() {
  const make = (name, attributes) => {
    const e = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
    return e;
  };
  const svg = make("svg", { viewBox: "0 0 34 25", "aria-hidden": "true", fill: "none", stroke: "currentColor", "stroke-width": "2" });
  svg.append(
    make("rect", { x: 1, y: 1, width: 32, height: 23, rx: 3 }),
    make("rect", { x: 6, y: 8, width: 8, height: 7, rx: 1, fill: "currentColor" }),
    make("path", { d: "M19 10 H28 M19 15 H25" }),
  );
  return svg;
}

// A page may load this file twice, say in two bundled versions: the first one wins.
if (globalThis.customElements && !customElements.get("crs-login")) customElements.define("crs-login", CRSLogin);
