import { CRSError, login } from "/crs/crs.js";

const [button, cancel, status] = ["#login", "#cancel", "[role=status]"].map((s) => document.querySelector(s));

// What to do now, and what helps: see the tables of Progress and Code for all of them.
const TEXTS = {
  permission: "Il browser sta per chiederti un permesso: scegli «Consenti».",
  consent: "Conferma il sito nella finestra che si è aperta.",
  card: "Metti la tessera nel lettore.",
  pin: "Scrivi il PIN nella finestra che si è aperta.",
  signing: "Attendi, e non togliere la tessera.",
  bridge_unavailable: "Installa o avvia il programma CRS, poi premi Accedi.",
  user_cancelled: "Accesso annullato. Se vuoi accedere, premi Accedi.",
};

button.addEventListener("click", async () => {
  const attempt = new AbortController();
  cancel.onclick = () => attempt.abort();
  running(true);
  try {
    const signed = await login({
      challenge: async () => (await post("/crs/challenge")).challenge,
      lang: "it",
      personalData: true,
      signal: attempt.signal,
      onProgress: say,
    });
    await post("/crs/login", signed); // the server verifies, and begins the session
    location.assign("/account");
  } catch (error) {
    // Anything else than a CRSError is the portal's own refusal.
    say(error instanceof CRSError ? error.code : "portal");
  } finally {
    running(false);
  }
});

function running(yes) {
  button.hidden = yes;
  cancel.hidden = !yes;
}

function say(key) {
  status.textContent = TEXTS[key] ?? "Qualcosa non ha funzionato. Premi Accedi per riprovare.";
}

async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  const reply = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  if (!reply.ok) throw new Error((await reply.json()).error);
  return reply.status === 204 ? null : reply.json();
}
