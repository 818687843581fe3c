// Makes the pages livelier; without it they say the same, as of when they were loaded.
"use strict";

const body = document.body;
const find = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const POLL = 10_000;
const CALM = 60_000;
const AGAIN = 2000;

// ---- times: the same words as the server writes
const UNITS = [[172_800, 86_400, "days"], [3600, 3600, "h"], [60, 60, "min"], [0, 1, "s"]];

function span(seconds) {
  const [, size, name] = UNITS.find(([least]) => seconds >= least);
  return `${number.format(Math.floor(seconds / size))} ${name}`;
}

function ago(then) {
  const seconds = (Date.now() - then) / 1000;
  if (Math.abs(seconds) < 10) return seconds >= 0 ? "just now" : "in a moment";
  return seconds > 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`;
}

function say(element, words) {
  if (element && element.textContent !== words) element.textContent = words;
}

function tick() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const then = new Date(time.dateTime);
    say(time, ago(then));
    if (!time.title.includes(" / ")) time.title += ` / ${then.toLocaleString()}`;
  }
  const left = find("left"), seconds = left && (new Date(left.dataset.ends) - Date.now()) / 1000;
  if (left) say(left, seconds > 1 ? `About ${span(seconds)} left` : "Any moment now");
}

// ---- the parts of the page that change are taken from the page as the server renders it now
let asked = 0, renewed = Date.now();
async function renew() {
  const mine = (asked += 1);
  renewed = Date.now();
  let page;
  try {
    const reply = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (reply.redirected) return location.assign(reply.url);
    if (!reply.ok) throw new Error(String(reply.status));
    page = new DOMParser().parseFromString(await reply.text(), "text/html");
  } catch {
    return lost(true);
  }
  if (mine !== asked) return;
  if (!events || live) lost(false);
  if (!page.body.dataset.live) delete body.dataset.live;
  document.title = page.title;
  find("icon").href = page.getElementById("icon").href;
  for (const part of document.querySelectorAll("[data-part]")) replace(part, page.getElementById(part.id));
  for (const card of document.querySelectorAll(".verdict")) card.className = page.querySelector(".verdict").className;
  tick();
}

const rendered = new WeakMap();
function replace(part, anew) {
  if (!anew || rendered.get(part) === anew.innerHTML) return;
  rendered.set(part, anew.innerHTML);
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  part.replaceChildren(...anew.childNodes);
  if (focused) {
    const same = find(focused.id) || [...part.querySelectorAll("a")].find((a) => a.href === focused.href);
    (same || find("main")).focus({ preventScroll: true });
  }
  strip();
}

// ---- progress, as it happens
const events = body.dataset.events;
let stream, live = false, told = 0;

function lost(is) {
  const note = find("lost");
  note.hidden = !is;
  say(note, is ? "Live updates are paused; trying again." : "");
}

function connect() {
  if (stream) stream.close();
  stream = new EventSource(events);
  stream.onopen = () => { live = true; lost(false); };
  stream.onerror = () => { live = false; lost(true); };
  for (const kind of ["snapshot", "started", "done", "pending"]) stream.addEventListener(kind, renew);
  stream.addEventListener("done", () => { if (find("note")) find("note").hidden = true; });
  stream.addEventListener("progress", (event) => progress(JSON.parse(event.data)));
}

function progress(run) {
  const now = document.querySelector(`[data-run="${Number(run.run_id)}"]`);
  if (!now || now.dataset.phase !== run.phase || !run.total !== !find("bar").hasAttribute("max")) return renew();
  if (!run.total) return;
  Object.assign(find("bar"), { max: run.total, value: run.done });
  say(find("count"), `${number.format(run.done)} of ${number.format(run.total)} ${run.phase === "finishing" ? "decisions" : "titles"}`);
  const tenths = Math.floor(run.done / run.total * 10);
  if (tenths !== told) { told = tenths; say(find("spoken"), `${tenths * 10} percent done`); }
}

// ---- keys, forms, the strip
const cells = () => [...document.querySelectorAll(".strip a")];
function strip() {
  const all = cells(), here = all.includes(document.activeElement) ? document.activeElement : all.at(-1);
  for (const cell of all) cell.tabIndex = cell === here ? 0 : -1;
}

function walk(event) {
  const all = cells(), at = all.indexOf(document.activeElement);
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: all.length - 1 }[event.key];
  if (at < 0 || !all[to]) return;
  all[to].focus();
  strip();
  event.preventDefault();
}

const KEYS = {
  "/": ["search", () => document.querySelector("[data-search]") || document.querySelector('nav a[href$="/titles"]')],
  r: ["to Sync now", () => find("sync-now")],
  d: ["to Preview, the dry run", () => find("dry-run")],
  "g s": ["go to the status", () => document.querySelector('nav a[href$="/status"]')],
  "g t": ["go to the titles", () => document.querySelector('nav a[href$="/titles"]')],
  "g a": ["go to what needs attention", () => document.querySelector('nav a[href$="/attention"]')],
  "g r": ["go to the runs", () => document.querySelector('nav a[href$="/runs"]')],
};
let before = "";

function key(event) {
  walk(event);
  const typing = event.target.closest("input, select, textarea, dialog") || event.ctrlKey || event.metaKey || event.altKey;
  if (typing || localStorage.getItem("keys") === "off" && event.key !== "?") return;
  if (event.key === "?") help();
  const name = before === "g" ? `g ${event.key}` : event.key, target = KEYS[name] && KEYS[name][1]();
  before = event.key;
  if (target) { target.focus(); event.preventDefault(); }
  if (target && name.startsWith("g ")) target.click();
}

function help() {
  const box = document.createElement("dialog");
  const rows = Object.entries(KEYS).map(([name, [words]]) => `<dt><kbd>${name}</kbd></dt><dd>${words}</dd>`).join("");
  box.innerHTML = `<form method="dialog"><h2 id="keys-title">Keys</h2><dl class="facts">${rows}<dt><kbd>?</kbd></dt><dd>this help</dd><dt><kbd>Esc</kbd></dt><dd>closes it</dd></dl>`
    + '<p><button value="toggle" id="toggle"></button> <button>Close</button></p></form>';
  box.setAttribute("aria-labelledby", "keys-title");
  body.append(box);
  const off = localStorage.getItem("keys") === "off";
  say(find("toggle"), off ? "Switch keys on" : "Switch keys off");
  box.onclose = () => { if (box.returnValue === "toggle") localStorage.setItem("keys", off ? "on" : "off"); box.remove(); };
  box.showModal();
}

function once(event) {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
  for (const button of form.querySelectorAll("button")) button.setAttribute("aria-disabled", "true");
}

function again() {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  for (const button of document.querySelectorAll("[aria-disabled]")) button.removeAttribute("aria-disabled");
}

// A browser has few connections to a host, and a stream takes one: a hidden page gives it back.
function turned() {
  if (document.hidden && stream) { stream.close(); live = false; }
  if (!document.hidden && events) connect(); else if (!document.hidden) renew();
}

function copy(event) {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  getSelection().selectAllChildren(button.previousElementSibling);
  document.execCommand("copy"); // the newer way does not exist on a page without https
  say(button, "Copied");
}

async function wait() {
  const reply = await fetch(location.href).catch(() => null);
  if (reply && reply.redirected) location.assign(reply.url);
  else if (reply && !(await reply.text()).includes("data-again")) location.reload();
  else setTimeout(wait, AGAIN);
}

document.addEventListener("keydown", key);
document.addEventListener("submit", once);
document.addEventListener("click", copy);
for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
addEventListener("pageshow", (event) => { if (event.persisted) { again(); if (body.dataset.live) renew(); } });
const here = new URL(location.href);
if (here.searchParams.has("said")) {
  for (const name of ["said", "run"]) here.searchParams.delete(name);
  history.replaceState(null, "", here);
}
if ("again" in body.dataset) setTimeout(wait, AGAIN);
for (const part of document.querySelectorAll("[data-part]")) rendered.set(part, part.innerHTML);
tick();
strip();
setInterval(tick, 1000);
if (body.dataset.live) {
  if (events) connect();
  document.addEventListener("visibilitychange", turned);
  setInterval(() => {
    if (document.hidden || !body.dataset.live) return;
    if (events && !live) connect();
    if (!events || !live || find("bar") || Date.now() - renewed > CALM) renew();
  }, POLL);
}
