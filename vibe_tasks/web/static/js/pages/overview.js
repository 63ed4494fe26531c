// Overview: what runs, what waits, what failed, and what needs a person.

import { chart } from "../chart.js";
import { h, keyed, link, put, say, to } from "../dom.js";
import { ago, bytes, count, counted, cut, percent, span } from "../format.js";
import { icon } from "../icons.js";
import { perFrame } from "../live.js";
import { badge, card, empty, failed, head, LEVELS, rebadge, skeleton } from "../parts.js";
import { lanesCard } from "./overview_lanes.js";
import { shortIds } from "../work.js";
import { needsCard } from "./overview_needs.js";
import { plansCard } from "./overview_plans.js";

const RANGES = [[15, "15 min"], [60, "1 h"], [360, "6 h"], [1440, "24 h"]];
const WAKES = /^(JOB_|TASK_|PLAN_|APPROVAL_|DEPLOYED|BREAKER_|SCALED|FILE_|QA_|BUDGET_|ROLLED_)/;

export function page(context) {
  const needs = needsCard(context);
  const tiles = h("div", { class: "tiles" });
  const series = seriesCard(context);
  const plans = plansCard(context, (waiting) => needs.budgets(waiting));
  const lanes = lanesCard(context);
  const workers = workersCard();
  const breakers = breakersCard();
  const cache = cacheCard();
  const news = newsCard(context);
  const trouble = h("div");
  const element = h(
    "div",
    {},
    head("Overview", { line: "What runs, what waits, and what needs you." }),
    trouble,
    h("div", { class: "stack" }, needs.element, tiles,
      h("div", { class: "grid" },
        h("div", { class: "stack two-thirds" }, series.element, lanes.element, news.element),
        h("div", { class: "stack third" }, plans.element, workers.element, breakers.element, cache.element))),
  );
  context.onPulse((status) => {
    showTiles(tiles, status);
    for (const part of [needs, lanes, workers, breakers, cache]) part.show(status);
  });
  if (!context.pulse) put(tiles, skeleton(2));
  context.live({
    load: (signal) => context.api.get("status", {}, { signal }),
    show: () => put(trouble),
    fail: (problem) => failed(trouble, problem),
    seconds: 60,
  });
  return { element, stop: () => series.stop() };
}

function showTiles(place, status) {
  const { by_status: by } = status;
  const oldest = Math.max(0, ...Object.values(status.lanes).map((lane) => lane.oldest_pending_seconds ?? 0));
  const online = status.workers.filter(({ status: state }) => state === "online");
  const slots = online.reduce((sum, worker) => sum + worker.capacity_limit, 0);
  const busy = online.reduce((sum, worker) => sum + worker.active_tasks, 0);
  const tiles = [
    ["running", "Running", count(by.processing ?? 0), `${busy} of ${counted(slots, "slot")} busy`, to("/jobs", undefined, { status: "processing" })],
    ["waiting", "Waiting", count(by.pending ?? 0), oldest ? `the oldest for ${span(oldest)}` : "nothing is due", to("/jobs", undefined, { status: "pending" })],
    ["blocked", "Blocked", count(by.blocked ?? 0), "for other work or a person", to("/jobs", undefined, { status: "blocked" })],
    ["completed", "Completed", count(by.completed ?? 0), "since the ledger began", to("/jobs", undefined, { status: "completed" })],
    ["failed", "Dead letters", count(status.dead_letters), status.dead_letters ? "look at them" : "none: good", to("/dead-letters")],
  ];
  if (place.firstElementChild?.classList.contains("skeleton")) put(place);
  keyed(place, tiles, ([name]) => name, ([name, title, , , href]) =>
    h("a", { class: `tile ${name}`, href }, h("span", { class: "tile-name" }, badge(name, title)),
      h("strong", {}), h("span", { class: "tile-line" })),
  (tile, [name, , number, line]) => {
    say(tile.querySelector("strong"), number);
    say(tile.querySelector(".tile-line"), line);
    tile.classList.toggle("calm", number === "0");
    if (name === "failed") rebadge(tile.querySelector(".badge"), status.dead_letters ? "failed" : "done", "Dead letters");
  });
}

function seriesCard(context) {
  const throughput = chart({
    label: "Jobs that ended", height: 170, format: count,
    series: [{ name: "completed", key: "completed", kind: "good", mark: "bar" }, { name: "failed", key: "failed", kind: "bad", mark: "bar" }],
  });
  const wait = chart({
    label: "Wait for a worker", height: 130, format: (value) => (value ? span(value) : "0"),
    series: [{ name: "half waited less", key: "wait_p50", kind: "busy", mark: "line" }, { name: "95 % waited less", key: "wait_p95", kind: "wait", mark: "dashes" }],
  });
  const asked = Number(context.query.get("minutes"));
  let minutes = RANGES.some(([each]) => each === asked) ? asked : 60;
  const sums = h("p", { class: "muted small" });
  const trouble = h("div");
  const buttons = RANGES.map(([each, text]) =>
    h("button", { type: "button", "aria-pressed": String(each === minutes), onclick: () => choose(each) }, text));
  const looks = context.live({
    load: (signal) => context.api.get("series", { minutes }, { signal }),
    show(found) {
      put(trouble);
      throughput.show(found.points, found.step);
      wait.show(found.points, found.step);
      const done = sum(found.points, "completed");
      const failed = sum(found.points, "failed");
      say(sums, `${counted(done, "job")} completed, ${count(failed)} failed (${percent(failed, done + failed)})`);
    },
    fail: (problem) => failed(trouble, problem, () => looks.refresh()),
    seconds: 15,
    wakes: (event) => WAKES.test(event.hook_event_type),
  });
  function choose(wanted) {
    minutes = wanted;
    RANGES.forEach(([each], n) => buttons[n].setAttribute("aria-pressed", String(each === wanted)));
    context.requery({ minutes: wanted === 60 ? null : wanted });
    looks.refresh();
  }
  const element = card("Throughput and wait",
    { aside: h("div", { class: "segments", role: "group", "aria-label": "Time shown" }, buttons) },
    trouble, sums, throughput.element, wait.element);
  return {
    element,
    stop() {
      throughput.stop();
      wait.stop();
    },
  };
}

function sum(points, key) {
  return points.reduce((total, point) => total + (point[key] ?? 0), 0);
}

function workersCard() {
  const list = h("ul", { class: "rows" });
  const rest = h("div");
  return {
    element: card("Workers", { aside: link("/workers", {}, "All workers") }, list, rest),
    show({ workers }) {
      const there = workers.filter(({ status }) => status !== "offline");
      put(rest, there.length ? (there.length > 8 ? h("p", { class: "muted small" }, `and ${there.length - 8} more`) : null)
        : empty("No worker is there", [h("code", {}, "vibe up"), " starts some."], "workers"));
      keyed(list, there.slice(0, 8), (worker) => worker.worker_id, (worker) =>
        h("li", { class: "row" }, h("span", { class: "row-main" }, h("span", { class: "clip", title: worker.worker_id }, cut(worker.worker_id, 34)), badge(worker.status)),
          h("span", { class: "row-line" })),
      (row, worker) => {
        rebadge(row.querySelector(".badge"), worker.status);
        say(row.querySelector(".row-line"), `${worker.active_tasks} of ${counted(worker.capacity_limit, "slot")} busy · ${worker.lanes.join(", ")}`);
      });
    },
  };
}

function breakersCard() {
  const list = h("ul", { class: "rows" });
  const rest = h("div");
  return {
    element: card("Breakers", {}, list, rest),
    show({ breakers }) {
      put(rest, breakers.length ? null : h("p", { class: "muted" }, "No provider has been called yet."));
      keyed(list, breakers, (breaker) => breaker.name, (breaker) =>
        h("li", { class: "row" }, h("span", { class: "row-main" }, h("span", { class: "clip" }, breaker.name), badge(breaker.state)),
          h("span", { class: "row-line" })),
      (row, breaker) => {
        const open = breaker.state === "open";
        rebadge(row.querySelector(".badge"), breaker.state, open ? `open for ${span(breaker.wait_seconds)}` : undefined);
        const why = breaker.times_opened && breaker.reason ? ` · last time: ${breaker.reason}` : "";
        say(row.querySelector(".row-line"), `${Math.round(breaker.error_rate)} % of ${counted(breaker.calls, "call")} failed · opened ${counted(breaker.times_opened, "time")}${why}`);
      });
    },
  };
}

function cacheCard() {
  const figures = h("dl", { class: "cache-figures" });
  return {
    element: card("Cache of changes", {}, figures),
    show({ cache }) {
      const looks = cache.hits + cache.misses;
      const told = [["Found", `${percent(cache.hits, looks)}`], ["Looks", count(looks)], ["Results kept", count(cache.size)],
        ["Size", bytes(cache.bytes)], ["Being made", count(cache.making)], ["Evicted", count(cache.evictions)]];
      keyed(figures, told, ([name]) => name, ([name]) => h("div", {}, h("dt", {}, name), h("dd", {})),
        (pair, [, text]) => say(pair.lastElementChild, text));
    },
  };
}

function newsCard(context) {
  const list = h("ul", { class: "rows" });
  const rest = h("div");
  const show = () => {
    const events = context.feed.buckets.priority.all().slice(-8).reverse();
    put(rest, events.length ? null : empty("Nothing happened yet", "Failures, escalations, and what agents ask for come here.", "events"));
    keyed(list, events, (event) => event.id, (event) =>
      h("li", {}, h("a", { class: "row", href: to("/events", undefined, { event: event.id }) },
        h("span", { class: `row-main level-${LEVELS[event.priority]}` }, icon(LEVELS[event.priority], { class: "icon event-level" }), h("span", { class: "clip" }, event.type), h("time", { class: "muted small" })),
        h("span", { class: "row-line clip" }, shortIds(event.summary || event.session)))),
    (row, event) => say(row.querySelector("time"), ago(event.timestamp / 1000)));
  };
  const end = context.feed.on(perFrame(show));
  context.signal.addEventListener("abort", end, { once: true });
  show();
  return { element: card("Latest of importance", { aside: link("/events", {}, "All events") }, list, rest) };
}
