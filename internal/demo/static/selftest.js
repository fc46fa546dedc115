// The page that shows which ways lead to the program here. All texts are in the page, as templates.

import { probe } from "/crs/crs.js";

const CHECKS = ["secure", "extension", "native", "socket"];
const WORKING = ["extension", "socket"]; // verdicts that are good news

const result = document.getElementById("result");

// The order matters: Edge and Opera call themselves Chrome too.
const BROWSERS = [[/Firefox\/(\d+)/, "Firefox"], [/Edg\/(\d+)/, "Edge"], [/OPR\/(\d+)/, "Opera"], [/Chrome\/(\d+)/, "Chrome / Chromium"], [/Version\/(\d+).*Safari/, "Safari"]];
const [pattern, name] = BROWSERS.find(([p]) => p.test(navigator.userAgent)) ?? [/()/, navigator.userAgent];
document.getElementById("browser").textContent = `${name} ${pattern.exec(navigator.userAgent)[1]}`;

document.getElementById("start").addEventListener("click", async () => {
  document.getElementById("checks").hidden = false;
  for (const check of CHECKS) mark(check, "wait");
  const ways = await probe({ onProgress: show });
  const code = verdict(ways);
  for (const check of CHECKS) mark(check, stateOf(check, ways[check], WORKING.includes(code)));
  show(code);
  result.focus();
});

// stateOf says how a check ended. A check that fails is no problem if another way works.
function stateOf(check, way, working) {
  if (way === true || way === "ready") return "yes";
  if (working) return "spare";
  return way || check === "secure" ? "no" : "absent";
}

// verdict is the best way that works, or else what prevents one.
function verdict({ secure, native, socket }) {
  if (!secure) return "insecure";
  if (native === "ready") return "extension";
  if (socket === "ready") return "socket";
  for (const code of ["unsupported_version", "origin_denied", "permission_denied", "permission_dismissed"]) {
    if (native === code || socket === code) return code;
  }
  return "missing";
}

function mark(check, state) {
  const cell = document.querySelector(`[data-check="${check}"]`);
  cell.textContent = document.querySelector(`template[data-state="${state}"]`).content.textContent;
  cell.className = state;
}

function show(code) {
  const text = document.querySelector(`template[data-result="${code}"]`);
  result.hidden = false;
  result.dataset.code = code;
  result.classList.toggle("error", ![...WORKING, "permission"].includes(code));
  result.replaceChildren(text.content.cloneNode(true));
}
