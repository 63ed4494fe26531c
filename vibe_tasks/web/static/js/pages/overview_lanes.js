// Lanes on the overview: what each does and what waits in it; a person can pause one.

import { h, keyed, link, put, say, set, to } from "../dom.js";
import { count, span } from "../format.js";
import { badge, card, empty, failed, meter, rebadge, remeter, skeleton } from "../parts.js";

const WAKES = /^(JOB_|TASK_|PLAN_|FILE_|QA_|DEPLOYED|SCALED)/;
const HEADS = [["Lane", ""], ["State", ""], ["Running", "number"], ["Ready", "number"], ["Held", "number"], ["Oldest due", "number"], ["Load", ""], ["", ""]];

export function lanesCard(context) {
  const body = h("tbody");
  const table = h("table", { class: "folds lanes" },
    h("caption", { class: "unseen" }, "Lanes, with jobs that run and wait"),
    h("thead", {}, h("tr", {}, HEADS.map(([text, kind]) => h("th", { scope: "col", class: kind }, text || h("span", { class: "unseen" }, "Action"))))),
    body);
  const rest = h("div", {}, skeleton(4));
  const element = card("Lanes", { aside: link("/jobs", {}, "All jobs") }, table, rest);
  table.hidden = true;
  let lanes = [];
  const show = () => {
    const slots = slotsOf(context.pulse?.workers ?? []);
    keyed(body, lanes, (lane) => lane.lane, (lane) => row(context, lane, () => looks.refresh()),
      (element_, lane) => update(element_, lane, slots.get(lane.lane) ?? 0));
  };
  const looks = context.live({
    load: (signal) => context.api.get("lanes", { limit: 200 }, { signal }),
    show({ items }) {
      table.hidden = !items.length;
      put(rest, items.length ? null : empty("No lane has anything to do", null, "jobs"));
      lanes = items;
      show();
    },
    fail: (problem) => failed(rest, problem, () => looks.refresh()),
    seconds: 5,
    wakes: (event) => WAKES.test(event.hook_event_type),
  });
  return { element, show };
}

/** Slots of the workers that are there, by lane. */
function slotsOf(workers) {
  const slots = new Map();
  for (const worker of workers) {
    if (worker.status !== "online") continue;
    for (const lane of worker.lanes) slots.set(lane, (slots.get(lane) ?? 0) + worker.capacity_limit);
  }
  return slots;
}

function row(context, lane, refresh) {
  const cell = (label, kind = "number") => h("td", { class: kind, "data-label": label });
  const button = h("button", { type: "button", class: "quiet" });
  const element = h("tr", { class: "lane" },
    h("td", { class: "lead" }, link(to("/jobs", undefined, { lane: lane.lane }), {}, lane.lane)),
    h("td", { class: "state", "data-label": "State" }, badge("open", "open")),
    cell("Running"), cell("Ready"), cell("Held"), cell("Oldest due"),
    h("td", { class: "load", "data-label": "Load" }, meter(0, 1)),
    h("td", { class: "act" }, button));
  button.addEventListener("click", async () => {
    button.disabled = true;
    const act = element.dataset.paused ? "resume" : "pause";
    await context.attempt(
      () => context.api.post(`lanes/${encodeURIComponent(lane.lane)}/${act}`),
      `Lane ${lane.lane} is ${act === "pause" ? "paused: what runs goes on, nothing new starts" : "open again"}`,
    );
    button.disabled = false;
    refresh();
  });
  return element;
}

function update(element, lane, slots) {
  const [, state, running, ready, held, oldest, load, act] = element.children;
  if (lane.paused) element.dataset.paused = "yes";
  else delete element.dataset.paused;
  rebadge(state.firstElementChild, lane.paused ? "paused" : "online", lane.paused ? "paused" : "open");
  say(running, lane.concurrency ? `${count(lane.running)} of ${lane.concurrency}` : count(lane.running));
  say(ready, count(lane.ready));
  say(held, count(lane.held));
  say(oldest, lane.oldest_seconds === null ? "–" : span(lane.oldest_seconds));
  const full = slots > 0 && lane.running >= slots;
  remeter(load.firstElementChild, lane.running, slots, {
    label: `${lane.lane}: ${lane.running} running in ${slots} slots`, kind: full ? "wait" : "busy",
  });
  set(load, { title: slots ? `${lane.running} of ${slots} slots` : "no worker serves it" });
  say(act.firstElementChild, lane.paused ? "Resume" : "Pause");
  set(act.firstElementChild, { "aria-label": `${lane.paused ? "Resume" : "Pause"} lane ${lane.lane}` });
}
