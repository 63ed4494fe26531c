// One plan: its tasks as a board and as a graph, what happened, what it used, and what it waits for.

import { h, keyed, link, put, say } from "../dom.js";
import { longestChain } from "../graph.js";
import { count, counted, money, moment, now, span } from "../format.js";
import { badge, empty, failed, failure, LEVELS, meter, rebadge, remeter, skeleton } from "../parts.js";
import { planBoard } from "../plan_board.js";
import { planGraph } from "../plan_graph.js";
import { mayStillChange, PlanData } from "../plan_data.js";
import { progress, reprogress } from "../progress.js";
import { leftOf } from "../stages.js";
import { jobLink } from "../work.js";

const MOST_EVENTS = 200;
const IDLE = 30_000; // milliseconds between two looks at a plan that has ended
const VIEWS = [["board", "Board"], ["graph", "Graph"], ["events", "Events"]];

export function page(context) {
  const { id } = context.params;
  const parts = makeParts(context);
  const state = { plan: null, at: 0, woken: false, view: context.query.get("view") ?? "board" };
  const place = h("div", {}, skeleton(6));
  const data = new PlanData(context.api, id);
  const look = context.live({
    // Events tell of most changes at once; that an attempt has started is told by none.
    load(signal) {
      const idle = state.plan && !mayStillChange(state.plan) && performance.now() - state.at < IDLE;
      if (idle && !state.woken) return state.plan;
      const { woken } = state;
      state.woken = false;
      return data.load(signal, woken);
    },
    show(plan) {
      if (plan === state.plan) return;
      if (!state.plan) showEvents(context, plan.id, parts);
      state.plan = plan;
      state.at = performance.now();
      if (!parts.element.isConnected) put(place, parts.element);
      parts.show(plan);
      choose(state.view);
    },
    fail(problem) {
      if (!state.plan) failed(place, problem, () => look.refresh());
    },
    seconds: 3,
    wakes(event) {
      const mine = event.session_id === (state.plan?.id ?? id);
      state.woken ||= mine;
      return mine;
    },
  });
  const choose = (view) => {
    state.view = VIEWS.some(([key]) => key === view) ? view : "board";
    parts.choose(state.view, state.plan);
  };
  parts.onChoose = (view) => {
    context.requery({ view: view === "board" ? null : view });
    choose(view);
  };
  parts.onCancel = () => cancel(context, state.plan, look);
  VIEWS.forEach(([key, label], at) => context.key(String(at + 1), `Show the ${label.toLowerCase()}`, () => parts.onChoose(key)));
  const tick = setInterval(() => {
    if (state.plan && !document.hidden) parts.tick(state.plan, (performance.now() - state.at) / 1000);
  }, 1000);
  context.signal.addEventListener("abort", () => clearInterval(tick));
  return { element: place };
}

function makeParts(context) {
  const head = planHead();
  const board = planBoard();
  const graph = planGraph();
  const chainLine = h("p", { class: "chain-line" });
  const events = h("ol", { class: "plan-events" });
  const panels = {
    board: h("div", {}, board.element),
    graph: h("div", {}, chainLine, graph.element),
    events: h("div", { class: "card" }, events),
  };
  const parts = { onChoose() {}, onCancel() {} };
  const buttons = new Map(VIEWS.map(([key, label]) => [key, h("button", { type: "button", onclick: () => parts.onChoose(key) }, label)]));
  head.cancel.addEventListener("click", () => parts.onCancel());
  const element = h("div", { class: "stack plan-page" }, head.element,
    h("div", { class: "view-bar" }, h("div", { class: "segments", role: "group", "aria-label": "View" }, [...buttons.values()]), head.progress),
    ...Object.values(panels));
  let chain = [];
  return Object.assign(parts, {
    element, events,
    show(plan) {
      context.title(plan.name);
      head.show(plan);
      chain = longestChain(plan.tasks, leftOf);
      board.show(plan.tasks);
      graph.show(plan.tasks, chain);
      sayChain(chainLine, chain, plan);
    },
    choose(view, plan) {
      for (const [key, button] of buttons) button.setAttribute("aria-pressed", String(key === view));
      for (const [key, panel] of Object.entries(panels)) panel.hidden = key !== view;
      if (view === "graph" && plan) graph.seen(plan.tasks);
    },
    tick(plan, since) {
      board.tick(plan.tasks, since);
      graph.tick(plan.tasks, since);
    },
  });
}

function sayChain(place, chain, plan) {
  place.hidden = chain.length < 2;
  if (place.hidden) return;
  const effort = plan.tasks.filter((task) => chain.includes(task.id)).reduce((sum, task) => sum + leftOf(task), 0);
  put(place, h("span", { class: "chain-mark", "aria-hidden": "true" }), `Longest chain still to go, ${counted(chain.length, "task")} of effort ${effort}: `,
    h("span", { class: "mono break" }, chain.length > 8 ? `${chain.slice(0, 6).join(" → ")} → … → ${chain.at(-1)}` : chain.join(" → ")));
}

function planHead() {
  const title = h("h1", { class: "break" });
  const state = badge("waiting");
  const line = h("p", { class: "page-line break" });
  const waits = h("ul", { class: "waits" });
  const cancel = h("button", { type: "button", class: "danger" }, "Cancel the plan");
  const approve = link("#/approvals", { class: "button" }, "Look at what waits for you");
  const bar = progress();
  const figures = h("dl", { class: "figures" });
  const budgets = h("div", { class: "budgets" });
  return {
    cancel, progress: bar,
    element: h("div", { class: "stack" },
      h("div", { class: "page-head" }, h("div", {}, h("div", { class: "title-line" }, title, state), line), h("div", { class: "actions" }, approve, cancel)),
      waits, figures, budgets),
    show(plan) {
      say(title, plan.name);
      rebadge(state, plan.status);
      say(line, [plan.branch, plan.commit && `at ${plan.commit.slice(0, 12)}`, plan.status === "running" ? `for ${span(now() - plan.created_at)}` : `took ${span(plan.seconds)}`].filter(Boolean).join(" · "));
      keyed(waits, plan.waits.map((text) => ({ text })), (each) => each.text, () => h("li", {}), (element, each) => say(element, each.text));
      waits.hidden = plan.waits.length === 0;
      cancel.hidden = plan.status !== "running";
      approve.hidden = plan.waits.length === 0;
      reprogress(bar, plan.counts);
      show(figures, plan);
      showBudgets(budgets, plan.budgets);
    },
  };
}

function show(place, plan) {
  const figures = [
    ["Cost", money(plan.cost_usd)],
    ["Tokens in", count(plan.tokens.input)],
    ["Tokens out", count(plan.tokens.output)],
    ["Jobs done", count(plan.jobs.completed)],
    ["Retries", count(plan.retries)],
    ["Fix rounds", count(plan.tasks.reduce((sum, task) => sum + (task.fix_round ?? 0), 0))],
    ["From the cache", count(plan.cache.hits)],
    ["Dead letters", count(plan.dead_letters.length)],
  ];
  keyed(place, figures, ([name]) => name, ([name]) => h("div", { class: "figure" }, h("dt", {}, name), h("dd", {})),
    (element, [, value]) => say(element.lastElementChild, value));
}

const UNITS = [["usd", "USD"], ["tokens", "tokens"], ["seconds", "seconds of work"]];

function showBudgets(place, budgets) {
  const rows = budgets.flatMap((each) => UNITS
    .filter(([unit]) => each.limit[unit] !== null && each.limit[unit] !== undefined)
    .map(([unit, word]) => ({ key: `${each.scope} ${each.name} ${unit}`, each, unit, word })));
  place.hidden = rows.length === 0;
  keyed(place, rows, (row) => row.key,
    () => h("div", { class: "budget" }, h("span", {}), meter(0, 1, { label: "used" })),
    (element, { each, unit, word }) => {
      const used = each.used[unit];
      const limit = each.limit[unit];
      const shown = (value) => (unit === "usd" ? money(value) : `${count(Math.round(value))} ${word}`);
      say(element.firstElementChild, `Budget of ${each.scope} ${each.name}: ${shown(used)} of ${shown(limit)}`);
      remeter(element.lastElementChild, used, limit, { label: `Used of the budget of ${each.scope} ${each.name}`, kind: used >= limit ? "bad" : used > 0.8 * limit ? "wait" : "busy" });
    });
}

async function cancel(context, plan, look) {
  const sure = await context.ask({
    title: `Cancel ${plan.name}?`, danger: true, action: "Cancel the plan",
    body: "Whatever has not ended is cancelled. What is deployed stays on the branch.",
    input: { label: "Reason", value: "cancelled by hand", required: true },
  });
  if (sure === null) return;
  await context.attempt(() => context.api.post(`plans/${encodeURIComponent(plan.id)}/cancel`, { reason: sure }, { signal: context.signal }), "The plan is cancelled");
  look.refresh();
}

/** What happened, newest first: the past once, then as it comes. */
async function showEvents(context, id, parts) {
  let events = [];
  const draw = () => {
    if (!events.length) put(parts.events, h("li", {}, empty("Nothing has happened yet", "")));
    else keyed(parts.events, [...events].reverse(), (event) => event.id, eventRow, () => {});
  };
  const add = (more) => {
    if (!events.length) put(parts.events);
    const known = new Set(events.map((event) => event.id));
    events = [...events, ...more.filter((event) => !known.has(event.id))].sort((a, b) => a.id - b.id).slice(-MOST_EVENTS);
    draw();
  };
  const end = context.stream.on("events", (more) => {
    const fresh = more.filter((event) => event.session_id === id);
    if (fresh.length) add(fresh);
  });
  const fill = async () => {
    try {
      const asked = { session_id: id, limit: MOST_EVENTS };
      const found = await context.api.get("../../events/recent", asked, { signal: context.signal });
      add(Array.isArray(found) ? found : found.items);
    } catch (problem) {
      if (problem.name !== "AbortError" && !events.length) put(parts.events, h("li", {}, failure(problem)));
    }
  };
  const endGap = context.stream.on("gap", fill); // what the stream could not go on from
  context.signal.addEventListener("abort", () => { end(); endGap(); });
  await fill();
}

function eventRow(event) {
  const job = event.payload?.job_id;
  return h("li", { class: "plan-event" },
    h("time", { class: "mono" }, moment(event.timestamp / 1000)),
    badge(LEVELS[event.priority] ?? "regular", event.hook_event_type),
    h("span", { class: "break" }, event.summary ?? ""),
    job ? jobLink(String(job)) : null);
}
