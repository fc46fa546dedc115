// The page of the demonstration: what a portal's own script does around crs.js. All texts are
// in the page, as templates.

import { login } from "/crs/crs.js";

const [start, progress, status, error, reason] =
  ["start", "progress", "status", "error", "reason"].map((id) => document.getElementById(id));

let attempt; // aborts the running login

async function logIn() {
  attempt = new AbortController();
  show(progress);
  progress.focus(); // the focused button is gone
  say("start");
  try {
    const answer = await login({
      challenge: async () => (await post("/crs/challenge")).challenge,
      lang: document.documentElement.lang,
      personalData: true,
      signal: attempt.signal,
      onProgress: say,
    });
    say("checking");
    await post("/crs/login", answer);
    location.replace("/");
  } catch (failure) {
    // The code of a DOMException is a number.
    explain(typeof failure?.code === "string" ? failure.code : "internal");
  }
}

// post throws the portal's refusal in the form in which login() throws the bridge's.
async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  const reply = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  if (reply.status === 204) return null;
  const answer = await reply.json();
  if (!reply.ok) throw Object.assign(new Error(answer.error), { code: `portal_${answer.error}` });
  return answer;
}

function show(part) {
  for (const each of [start, progress, error]) each.hidden = each !== part;
}

// say shows what the citizen has to do now.
function say(state) {
  const text = document.querySelector(`template[data-state="${state}"]`);
  if (!text) return;
  status.replaceChildren(text.content.cloneNode(true));
  for (const step of document.querySelectorAll(".steps li")) {
    step.classList.toggle("now", step.dataset.states.split(" ").includes(state));
  }
}

// explain shows what went wrong and what helps.
function explain(code) {
  const texts = [...document.querySelectorAll("template[data-error]")];
  const text = texts.find((t) => t.dataset.error === code) ??
    texts.find((t) => t.dataset.error === (code.startsWith("portal_") ? "portal" : "internal"));
  reason.replaceChildren(text.content.cloneNode(true));
  reason.dataset.code = code;
  show(error);
  reason.focus();
}

document.getElementById("login").addEventListener("click", logIn);
document.getElementById("again").addEventListener("click", logIn);
document.getElementById("cancel").addEventListener("click", () => attempt.abort());
