// Polls the snapshot and shows it. The address's fragment is `#token=...` once, then a view, e.g. `#/trace/ID`.

import { show } from "./morph.js";

const POLL_MS = 3_000;
const FIRST_POLL_MS = 500; // while panels are read for the first time
const TIMEOUT_MS = 10_000;
const VIEW_TIMEOUT_MS = 60_000;
const TOKEN = "esq-token";
const VIEWS = { trace: "Trace", logs: "Log lines", runbook: "Runbook" };
const byId = (id) => document.getElementById(id);
const shown = new Map(); // HTML by panel: most of it stays the same from poll to poll
let lastUpdate = null;

class Rejected extends Error {}

async function read(path, timeoutMs = TIMEOUT_MS) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(TOKEN) ?? ""}` };
  const response = await fetch(path, { headers, signal: AbortSignal.timeout(timeoutMs) });
  if (response.status === 401) throw new Rejected();
  if (!response.ok) throw new Error(`status ${response.status}`);
  return response.json();
}

function takeToken() {
  const match = location.hash.match(/^#token=([\w-]+)$/);
  if (!match) return false;
  sessionStorage.setItem(TOKEN, match[1]);
  history.replaceState(null, "", "/"); // neither the address bar nor the history keeps it
  return true;
}

function createPanel(panel) {
  const created = document.createElement("section");
  created.id = `panel-${panel.id}`;
  created.setAttribute("aria-labelledby", `heading-${panel.id}`);
  created.append(document.createElement("div"), document.createElement("p"));
  created.lastChild.className = "age";
  byId("panels").append(created);
  const link = document.createElement("a");
  link.href = `#panel-${panel.id}`;
  link.textContent = panel.title;
  byId("contents").append(link);
  return created;
}

function showPanel(panel) {
  const [content, age] = (byId(`panel-${panel.id}`) ?? createPanel(panel)).children;
  const scrolled = content.querySelector(".charts") !== null;
  if (shown.get(panel.id) !== panel.html) show(content, panel.html);
  // Where a chart is wider than the screen, its newest values come first.
  if (!scrolled) for (const chart of content.querySelectorAll(".charts figure > .scroll")) chart.scrollLeft = chart.scrollWidth;
  shown.set(panel.id, panel.html);
  age.textContent = panel.age_seconds === null ? "" : `read ${panel.age_seconds} s ago`;
}

function connection(state, text) {
  if (byId("connection").textContent !== text) byId("connection").textContent = text;
  document.body.dataset.state = state;
}

async function update() {
  try {
    const snapshot = await read("/snapshot.json");
    document.title = snapshot.title;
    show(byId("banner"), snapshot.banner);
    snapshot.panels.forEach(showPanel);
    lastUpdate = new Date();
    connection("connected", "Updated every 3 s.");
    return snapshot.is_complete ? POLL_MS : FIRST_POLL_MS;
  } catch (error) {
    const since = lastUpdate ? `Everything below is of ${lastUpdate.toLocaleTimeString()}.` : "";
    if (error instanceof Rejected) connection("denied", `Access denied: open the address that esq open printed. ${since}`);
    else connection("disconnected", `No connection to esq open: it may have ended. ${since}`);
    document.title = "✗ not updated";
    return POLL_MS;
  }
}

async function poll() {
  const pause = document.hidden ? POLL_MS : await update();
  setTimeout(poll, pause);
}

function currentView() {
  const [name, ...argument] = location.hash.split("/").slice(1);
  return name in VIEWS ? { name, argument: decodeURIComponent(argument.join("/")) } : null;
}

async function showView() {
  const view = currentView();
  byId("view").hidden = !view;
  if (!view) return;
  byId("view-heading").textContent = `${VIEWS[view.name]}: ${view.argument}`;
  show(byId("view-content"), "<p>reading…</p>");
  byId("view-heading").focus();
  const path = `/views/${view.name}?argument=${encodeURIComponent(view.argument)}`;
  const answer = await read(path, VIEW_TIMEOUT_MS).catch((error) => ({ html: null, error: String(error.message || "access denied") }));
  const latest = currentView();
  if (latest?.name !== view.name || latest.argument !== view.argument) return;
  if (answer.error) {
    const problem = document.createElement("p");
    problem.className = "error";
    problem.textContent = `✗ cannot be read: ${answer.error}`;
    byId("view-content").replaceChildren(problem);
  } else show(byId("view-content"), answer.html);
}

byId("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("find-text").value.trim();
  location.hash = `#/${event.submitter?.value ?? "trace"}/${encodeURIComponent(text)}`;
});
addEventListener("hashchange", () => {
  if (takeToken()) update();
  else showView();
});
document.addEventListener("visibilitychange", () => document.hidden || update());
takeToken();
showView();
poll();
