// The dashboard's shell: routes, navigation, the connection, and what pages are given.
//
// CONVENTIONS for a page module in js/pages/
//
//   export function page(context) { return { element, stop() {} }; }
//
// `page` is called each time its route is entered, also when only the part after the path changes
// (#/jobs/1 -> #/jobs/2); it returns at once and fills its element as answers come. `stop` is
// optional. What it is given:
//
//   context.params      {id} of the route, decoded
//   context.query       URLSearchParams of what follows ? in the hash
//   context.signal      aborted when the page is left; give it to every request
//   context.api         get/post/put/delete/text/all (api.js); failures throw Problem
//   context.stream      the event stream (stream.js); on(...) returns a function that ends it
//   context.feed        the events of the two buckets (feed.js), kept across pages
//   context.live(o)     keeps figures true (live.js): {load(signal), show(value), fail(problem),
//                       seconds, wakes(event)}; ends by itself
//   context.pulse       last answer of /status (null before the first); context.onPulse(fn)
//   context.go(path, id, query), context.requery({name: value})  (the latter without a new page)
//   context.title(text) the document's title and nothing else; pages have their own h1
//   context.key(key, label, act)   a key of this page; ? lists it
//   context.ask, context.toast, context.announce   (parts.js)
//   context.attempt(act, said)     does it and tells a problem as a toast; true where it worked
//
// Rules: elements only by h() and svg() of dom.js, texts only as texts; no style attributes in
// markup (CSP), `style: {…}` of h() sets properties; lists by keyed(), so that focus survives a
// refresh; statuses by badge(); times and figures by format.js; everything that moves by itself is
// said to screen readers at most once (announce). No address but our own. Long listings are
// paged. A page's own CSS goes into css/<page>.css, linked in index.html. Works at 380 px.

import { Api } from "./api.js";
import { h, put, say, to } from "./dom.js";
import { Feed } from "./feed.js";
import { span } from "./format.js";
import { icon } from "./icons.js";
import { Keys } from "./keys.js";
import { live } from "./live.js";
import { announce, ask, empty, failure, skeleton, toast } from "./parts.js";
import { Stream } from "./stream.js";
import { whatWaits } from "./waiting.js";

const PAGES = [
  { path: "/", title: "Overview", key: "o", icon: "overview", load: () => import("./pages/overview.js") },
  { path: "/plans", title: "Plans", key: "p", icon: "plans", load: () => import("./pages/plans.js") },
  { path: "/jobs", title: "Jobs", key: "j", icon: "jobs", load: () => import("./pages/jobs.js") },
  { path: "/approvals", title: "Approvals", key: "a", icon: "approvals", load: () => import("./pages/approvals.js") },
  { path: "/dead-letters", title: "Dead letters", key: "d", icon: "dead", load: () => import("./pages/dead_letters.js") },
  { path: "/workers", title: "Workers", key: "w", icon: "workers", load: () => import("./pages/workers.js") },
  { path: "/events", title: "Events", key: "e", icon: "events", load: () => import("./pages/events.js") },
];
const DETAILS = [
  { path: "/plans/:id", title: "Plan", under: "/plans", load: () => import("./pages/plan.js") },
  { path: "/jobs/:id", title: "Job", under: "/jobs", load: () => import("./pages/job.js") },
];
const WAKES_PULSE = /^(JOB_|TASK_|PLAN_|APPROVAL_|DEPLOYED|BREAKER_|SCALED|FILE_|QA_)/;

const WAKES_APPROVALS = /^(APPROVAL_|DEPLOYED|PLAN_|TASK_|QA_|BUDGET_|JOB_CANCELLED)/;

const main = document.getElementById("main");
const api = new Api(askToken);
const stream = new Stream(() => api.token);
const feed = new Feed(stream);
const keys = new Keys(PAGES, (path) => go(path));
const pulse = { value: null, listeners: new Set() };
let shown = null; // {route, hash, element, stop, controller}

api.whenToken = () => stream.restart();

function route(hash) {
  const [path, asked = ""] = hash.replace(/^#/, "").split("?", 2);
  const parts = path.split("/").filter(Boolean);
  for (const each of [...PAGES, ...DETAILS]) {
    const pattern = each.path.split("/").filter(Boolean);
    if (pattern.length !== parts.length) continue;
    const params = {};
    const fits = pattern.every((piece, n) => {
      if (!piece.startsWith(":")) return piece === parts[n];
      params[piece.slice(1)] = decoded(parts[n]);
      return true;
    });
    if (fits) return { page: each, params, query: new URLSearchParams(asked) };
  }
  return null;
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function go(path, id, query) {
  location.hash = to(path, id, query);
}

function contextOf(found, controller) {
  const { signal } = controller;
  const context = {
    params: found.params, query: found.query, signal, api, stream, feed, go, toast, announce,
    ask: (options) => ask({ ...options, signal }),
    get pulse() {
      return pulse.value;
    },
    onPulse(listener) {
      pulse.listeners.add(listener);
      signal.addEventListener("abort", () => pulse.listeners.delete(listener), { once: true });
      if (pulse.value) listener(pulse.value);
    },
    live: (options) => live(context, options),
    title: (text) => say(document.querySelector("title"), `${text} · Vibe Tasks`),
    key: (key, label, act) => keys.add(key, label, act),
    requery(values) {
      if (signal.aborted) return; // a late timer: the address is another page's by now
      const query = new URLSearchParams(found.query);
      for (const [name, value] of Object.entries(values)) {
        if (value === null || value === undefined || value === "") query.delete(name);
        else query.set(name, value);
      }
      found.query = query;
      const path = location.hash.split("?", 1)[0] || "#/";
      history.replaceState(null, "", query.size ? `${path}?${query}` : path);
      if (shown) shown.hash = location.hash;
    },
    async attempt(act, said) {
      try {
        await act();
      } catch (problem) {
        if (problem.name !== "AbortError") toast(problem.message, "bad");
        return false;
      }
      if (said) toast(said);
      return true;
    },
  };
  return context;
}

async function enter() {
  if (shown && shown.hash === location.hash) return;
  const moved = shown !== null;
  leave();
  api.declined = undefined; // who has moved on may want to give a token now
  const found = route(location.hash || "#/");
  const controller = new AbortController();
  const mine = { hash: location.hash, controller, stop: null };
  shown = mine;
  mark(found?.page);
  const context = found && contextOf(found, controller);
  say(document.querySelector("title"), `${found?.page.title ?? "Not found"} · Vibe Tasks`);
  if (!found) {
    put(main, empty("There is no such page", "The pages are on the left, or under Menu."));
    return;
  }
  put(main, skeleton(6));
  try {
    const { page } = await found.page.load();
    if (shown !== mine) return;
    const made = page(context);
    mine.stop = made.stop;
    put(main, made.element);
  } catch (problem) {
    if (shown !== mine) return;
    console.error(problem);
    put(main, failure(problem, () => location.reload()));
  }
  if (moved) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
    announce(found.page.title);
  }
}

function leave() {
  keys.clear();
  shown?.controller.abort();
  shown?.stop?.();
  shown = null;
  menu(false);
}

function mark(page) {
  const path = page?.under ?? page?.path;
  for (const each of document.querySelectorAll("#pages a")) {
    if (each.dataset.path === path) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
}

function showPages() {
  put(document.getElementById("pages"), PAGES.map(({ path, title, key, icon: shape }) =>
    h("li", {}, h("a", { href: to(path), data: { path } , "aria-keyshortcuts": `g ${key}` },
      icon(shape), h("span", { class: "page-name" }, title), h("span", { class: "count", hidden: true })))));
}

function countBeside(path, number, noun) {
  const place = document.querySelector(`#pages a[data-path="${path}"] .count`);
  place.hidden = !number;
  say(place, number ? (number > 999 ? "999+" : number) : "");
  place.setAttribute("aria-label", number ? `${number} ${noun}` : "");
}

function beat(value) {
  pulse.value = value;
  countBeside("/dead-letters", value.dead_letters, "dead letters");
  for (const listener of [...pulse.listeners]) listener(value);
}

const STATES = { connecting: ["wait", "connecting"], live: ["good", "live"], waiting: ["bad", "offline"] };
let clock = null;

function showState(state) {
  const place = document.getElementById("link-state");
  const [kind, word] = STATES[state];
  place.className = `link-state ${kind}`;
  const old = state === "live" && stream.protocol === 1 ? ", old server" : "";
  put(place, h("span", { class: "dot" }), `${word}${old}`);
  const banner = document.getElementById("banner");
  clearInterval(clock);
  const wasGone = !banner.hidden;
  if (state === "waiting") {
    const left = h("span", { "aria-hidden": "true" });
    put(banner, icon("warn"), h("p", {}, "The server cannot be reached. What you see is as it was. ", left),
      h("button", { type: "button", onclick: () => stream.restart() }, "Try now"));
    banner.hidden = false;
    const count = () => say(left, stream.retryIn > 1 ? `Trying again in ${span(Math.round(stream.retryIn))}.` : "Trying again…");
    count();
    clock = setInterval(count, 1000);
  } else if (state === "live") {
    banner.hidden = true;
    if (wasGone) announce("The server is back");
  }
}

async function askToken(refused) {
  return ask({
    title: "Who are you?",
    body: refused ? "The server does not know this token." : "This server asks for a token. It is kept until this tab is closed.",
    input: { label: "API token", type: "password", required: true },
    action: "Go on",
  });
}

function menu(open) {
  document.body.classList.toggle("menu-open", open);
  document.getElementById("menu-button").setAttribute("aria-expanded", String(open));
}

function showTheme(choice) {
  say(document.getElementById("theme"), `Theme: ${choice}`);
}

function begin() {
  showPages();
  showTheme(window.vibeTheme.get());
  document.getElementById("theme").addEventListener("click", () => showTheme(window.vibeTheme.next()));
  document.getElementById("show-keys").addEventListener("click", () => keys.show());
  document.getElementById("menu-button").addEventListener("click", () =>
    menu(!document.body.classList.contains("menu-open")));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") menu(false);
  });
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the hash is the router's
    main.focus();
  });
  stream.on("state", showState);
  showState("connecting");
  const always = { signal: new AbortController().signal, stream };
  live(always, {
    load: (signal) => api.get("status", {}, { signal }),
    show(status) {
      stream.alive();
      beat(status);
    },
    // A network that is gone closes no connection: the stream would look live for ever.
    fail: (problem) => problem.status === 0 && stream.state === "live" && stream.restart(),
    seconds: 10,
    wakes: (event) => WAKES_PULSE.test(event.hook_event_type),
  });
  live(always, {
    load: (signal) => whatWaits(api, signal),
    show: (found) => countBeside("/approvals", Object.values(found).flat().length, "approvals wait"),
    seconds: 30,
    wakes: (event) => WAKES_APPROVALS.test(event.hook_event_type),
  });
  addEventListener("hashchange", enter);
  stream.start();
  enter();
}

begin();
