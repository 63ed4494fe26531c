// Events: the stream in two buckets. Rows are drawn once per frame, of a window of the list; a
// payload is parsed, or fetched, when somebody opens it.

import { h, put, say, set } from "../dom.js";
import { clock, count, counted } from "../format.js";
import { icon, reshape } from "../icons.js";
import { perFrame } from "../live.js";
import { LEVELS, card, empty, head } from "../parts.js";
import { Windowed } from "../window.js";
import { bucketsCard } from "./events_buckets.js";
import { detail } from "./events_detail.js";
import { filters } from "./events_filters.js";

const NARROW = matchMedia("(max-width: 720px)");
const AT_ONCE = 150; // milliseconds between two merges of the buckets: more is not seen

export function page(context) {
  const { feed } = context;
  const state = { paused: null, older: [], version: -1, drawn: 0, fresh: 0 };
  const chosen = filters(context, { change: () => refilter() });
  const buckets = bucketsCard(context);
  const side = detail(context, { close: () => shut() });
  const list = new Windowed({
    label: "Events, newest first", rowHeight: () => (NARROW.matches ? 62 : 38),
    make: makeRow, update: updateRow, open: (event) => open(event.id, event),
  });
  const nothing = h("div", { class: "window-empty" });
  const told = h("p", { class: "muted small", role: "status" });
  const top = h("button", { type: "button", class: "primary to-top", hidden: true, onclick: () => {
    list.element.scrollTop = 0;
    state.fresh = 0;
    top.hidden = true;
  } });
  const pause = h("button", { type: "button", "aria-pressed": "false", onclick: () => hold() }, icon("paused"), h("span", {}, "Pause"));

  const visible = () => {
    const held = state.paused ?? feed.buckets.events();
    const found = held.filter(chosen.fits);
    if (!state.older.length) return found.reverse();
    const known = new Set(found.map((event) => event.id));
    const older = state.older.filter((event) => !known.has(event.id) && chosen.fits(event));
    return [...found, ...older].sort((one, other) => other.timestamp - one.timestamp || other.id - one.id);
  };
  const draw = perFrame(() => {
    if (context.signal.aborted) return;
    const wait = AT_ONCE - (performance.now() - state.drawn);
    if (wait > 0) {
      setTimeout(draw, wait);
      return;
    }
    state.drawn = performance.now();
    buckets.show();
    if (state.paused) {
      say(pause.lastElementChild, `Go on (${count(feed.buckets.statistics().received - state.received)} new)`);
      if (state.version === "paused") return;
    }
    const before = list.items[0]?.id;
    const items = visible();
    list.show(items);
    tellNew(items, before);
    state.version = state.paused ? "paused" : feed.version;
    nothing.hidden = items.length > 0;
    if (!items.length) put(nothing, chosen.active() ? empty("No event fits", "Widen the filters above.", "events") : empty("No event yet", "Agents' hooks post to /events; plans and jobs tell theirs.", "events"));
    say(told, `${counted(items.length, "event")} shown`);
  });
  function tellNew(items, before) {
    const place = before === undefined ? 0 : items.findIndex((event) => event.id === before);
    if (list.atTop || place <= 0) state.fresh = list.atTop ? 0 : state.fresh;
    else state.fresh += place;
    top.hidden = state.fresh === 0;
    if (state.fresh) say(top, `${counted(state.fresh, "new event")} above`);
  }
  function hold() {
    state.paused = state.paused ? null : feed.buckets.events();
    state.received = feed.buckets.statistics().received;
    state.version = -1;
    set(pause, { "aria-pressed": String(state.paused !== null) });
    reshape(pause.firstElementChild, state.paused ? "running" : "paused");
    say(pause.lastElementChild, state.paused ? "Go on" : "Pause");
    context.announce(state.paused ? "Paused; events are still kept" : "Live again");
    draw();
  }
  async function refilter() {
    state.older = [];
    state.version = -1;
    state.fresh = 0;
    list.element.scrollTop = 0;
    draw();
    const asked = chosen.query();
    if (!asked) return;
    try { // what the buckets no longer have of it
      const { items } = await context.api.get("events/recent", { ...asked, limit: 200 }, { signal: context.signal });
      if (chosen.query() && JSON.stringify(chosen.query()) === JSON.stringify(asked)) {
        state.older = items.map((event) => feed.slim(event));
        state.version = -1;
        draw();
      }
    } catch (problem) {
      if (problem.name !== "AbortError") context.toast(problem.message, "bad");
    }
  }
  function open(id, event) {
    side.show(id, event);
    frame.classList.add("is-open");
    context.requery({ event: id });
  }
  function shut() {
    frame.classList.remove("is-open");
    context.requery({ event: null });
    list.element.focus({ preventScroll: true });
  }
  const frame = h("div", { class: "events-frame" },
    h("div", { class: "events-list" }, h("div", { class: "events-bar" }, told, top), list.element, nothing),
    side.element);
  const element = h("div", { class: "events-page" },
    head("Events", { line: "What happens, as it happens. Important events are never pushed out by chatter.", actions: [pause] }),
    h("div", { class: "stack" }, buckets.element, card("Stream", {}, chosen.element, frame)));
  context.key(" ", "Pause, or go on", hold);
  context.key("Escape", "Close the event", () => {
    if (frame.classList.contains("is-open")) shut();
  });
  context.key("/", "Search in events", () => chosen.focus());
  const ends = [feed.on(draw)];
  NARROW.addEventListener("change", draw);
  const asked = Number(context.query.get("event"));
  if (asked) open(asked, feed.buckets.events().find((event) => event.id === asked));
  refilter();
  return {
    element,
    stop() {
      for (const end of ends) end();
      NARROW.removeEventListener("change", draw);
      list.stop();
    },
  };
}

function makeRow() {
  return h("div", { class: "event" },
    h("time"), h("span", { class: "event-level" }, icon("regular"), h("span", { class: "unseen" })),
    h("span", { class: "event-type clip" }), h("span", { class: "event-who clip" }), h("span", { class: "event-line clip" }));
}

function updateRow(row, event) {
  if (row.vibeEvent === event) return;
  row.vibeEvent = event;
  const [time, level, type, who, line] = row.children;
  row.className = `event level-${LEVELS[event.priority] ?? "regular"}`;
  say(time, clock(new Date(event.timestamp)));
  reshape(level.firstElementChild, LEVELS[event.priority]);
  say(level.lastElementChild, LEVELS[event.priority]);
  say(type, event.type);
  say(who, `${event.app} · ${event.session.slice(0, 8)}`);
  set(who, { title: `${event.app} · ${event.session}` });
  say(line, event.summary);
}

