// Workers: who is there, what each has in hand; and why lanes were given more or fewer of them.

import { h, keyed, put, say, set } from "../dom.js";
import { ago, count, counted, cut, moment, now, span } from "../format.js";
import { icon, reshape } from "../icons.js";
import { badge, card, empty, failed, head, rebadge, skeleton } from "../parts.js";

const SLOTS_DRAWN = 16; // beyond that a number says it better
const ORDER = ["lost", "draining", "starting", "online", "offline"];

export function page(context) {
  const workers = workersPart(context);
  const decisions = decisionsPart(context);
  return {
    element: h("div", {}, head("Workers", { line: workers.line }), h("div", { class: "stack" }, workers.element, decisions.element)),
  };
}

function workersPart(context) {
  const list = h("ul", { class: "workers" });
  const rest = h("div", {}, skeleton(4));
  const line = h("span", {}, "…");
  const gone = h("input", { type: "checkbox", checked: context.query.get("offline") === "yes", onchange: () => {
    context.requery({ offline: gone.checked ? "yes" : null });
    show(last);
  } });
  const aside = h("label", { class: "check" }, gone, "Show those that left");
  const element = card("Registry", { aside }, list, rest);
  let last = [];
  const looks = context.live({
    load: async (signal) => {
      const found = [];
      for await (const worker of context.api.all("workers", {}, { most: 2000, signal })) found.push(worker);
      return found;
    },
    show(found) {
      last = found;
      show(found);
    },
    fail: (problem) => failed(rest, problem, () => looks.refresh()),
    seconds: 5,
    wakes: (event) => /^(JOB_|FILE_|QA_|SCALED|DEPLOYED)/.test(event.hook_event_type),
  });
  const show = (found) => {
    const there = found.filter(({ status }) => status !== "offline");
    const shown = gone.checked ? found : there;
    const busy = there.reduce((sum, worker) => sum + worker.active_tasks, 0);
    const slots = there.reduce((sum, worker) => sum + worker.capacity_limit, 0);
    say(line, `${counted(there.length, "worker")} there, ${count(busy)} of ${counted(slots, "slot")} busy.`);
    put(rest, shown.length ? null : empty("No worker is there", [h("code", {}, "vibe up"), " starts some; ", h("code", {}, "celery -A vibe_tasks worker"), " starts one."], "workers"));
    const sorted = [...shown].sort((one, other) =>
      ORDER.indexOf(one.status) - ORDER.indexOf(other.status) || one.worker_id.localeCompare(other.worker_id));
    keyed(list, sorted, (worker) => worker.worker_id, (worker) => workerRow(context, worker, () => looks.refresh()), updateWorker);
  };
  return { element, line };
}

function workerRow(context, worker, refresh) {
  const name = worker.worker_id;
  const drain = h("button", { type: "button", "aria-label": `Drain ${name}`, onclick: async () => {
    const sure = await context.ask({
      title: "Drain this worker?",
      body: `${name} takes nothing new, finishes what it has in hand, and ends.`,
      action: "Drain",
    });
    if (!sure) return;
    drain.disabled = true;
    await context.attempt(() => context.api.post(`workers/${encodeURIComponent(name)}/drain`), `${name} is draining`);
    drain.disabled = false;
    refresh();
  } }, icon("drain"), "Drain");
  return h("li", { class: "worker" },
    h("div", { class: "worker-name" }, badge(worker.status), h("strong", { class: "break" }, name)),
    h("div", { class: "worker-load" }, h("div", { class: "slots", role: "img" }), h("span", { class: "small muted" })),
    h("div", { class: "chips worker-lanes" }),
    h("div", { class: "worker-facts small muted" }),
    h("div", { class: "worker-act" }, drain));
}

function updateWorker(element, worker) {
  const [name, load, lanes, facts, act] = element.children;
  rebadge(name.firstElementChild, worker.status);
  const [slots, told] = load.children;
  const most = Math.max(worker.capacity_limit, worker.active_tasks);
  const drawn = most <= SLOTS_DRAWN ? Array.from({ length: most }, (_, n) => n) : [];
  keyed(slots, drawn, (n) => n, () => h("i"), (slot, n) => {
    slot.className = n < worker.active_tasks ? "slot taken" : "slot";
  });
  const text = `${worker.active_tasks} of ${counted(worker.capacity_limit, "slot")} busy`;
  set(slots, { "aria-label": text });
  say(told, text);
  const labels = (worker.labels ?? []).map((label) => [`label ${label}`, label]);
  keyed(lanes, [...worker.lanes.map((lane) => [`lane ${lane}`, lane]), ...labels], ([key]) => key,
    ([key, label]) => h("span", { class: key.startsWith("lane ") ? "chip lane" : "chip", title: key }, label), () => {});
  const parts = [
    worker.tier, hostOf(worker), worker.version && `version ${worker.version}`,
    worker.started_at && worker.status !== "offline" && `up ${span(now() - worker.started_at)}`,
    `seen ${ago(now() - worker.age)}`,
  ];
  say(facts, parts.filter(Boolean).join(" · "));
  facts.title = worker.host ?? "";
  act.firstElementChild.hidden = !["online", "lost", "starting"].includes(worker.status);
}

/** The machine by its name in the worker's; the identity with which it is told from others is long. */
function hostOf({ worker_id: name, host }) {
  return host && name.includes("@") ? name.slice(name.indexOf("@") + 1) : host && cut(host, 24);
}

function decisionsPart(context) {
  const list = h("ol", { class: "decisions" });
  const rest = h("div", {}, skeleton(3));
  const lane = h("select", { "aria-label": "Lane", onchange: () => {
    context.requery({ lane: lane.value });
    looks.refresh();
  } }, h("option", { value: "" }, "All lanes"));
  const asked = context.query.get("lane");
  if (asked) {
    lane.append(h("option", { value: asked }, asked));
    lane.value = asked;
  }
  const lanes = new Set(asked ? [asked] : []);
  const element = card("Scaling decisions", { aside: lane }, list, rest);
  const looks = context.live({
    load: (signal) => context.api.get("scale/history", { lane: lane.value, limit: 50 }, { signal }),
    show({ items }) {
      put(rest, items.length ? null
        : empty("Nothing has been decided", "Each change of a lane's size, and each refusal, is kept with its reason.", "info"));
      for (const each of items) {
        if (lanes.has(each.lane)) continue;
        lanes.add(each.lane);
        lane.append(h("option", { value: each.lane }, each.lane));
      }
      keyed(list, items, (each) => each.id, decisionRow, updateDecision);
    },
    fail: (problem) => failed(rest, problem, () => looks.refresh()),
    seconds: 15,
    wakes: (event) => event.hook_event_type === "SCALED",
  });
  return { element };
}

function decisionRow(each) {
  return h("li", { class: "decision" },
    h("span", { class: "decision-way" }, icon("info"), h("span")),
    h("span", { class: "decision-lane" }, h("span", { class: "chip lane" }, each.lane)),
    h("span", { class: "break" }, h("span"), h("span", { class: "decision-error" })),
    h("span", { class: "muted small decision-when" }, h("time", { title: moment(each.at) }), h("span", {}, ` · ${each.provisioner}`)));
}

function updateDecision(element, each) {
  const [way, , why, when] = element.children;
  const grows = each.target > each.before;
  const failed = each.error && each.error !== each.reason && each.error !== "refused";
  const shape = each.error ? "blocked" : grows ? "up" : each.target < each.before ? "down" : "info";
  reshape(way.firstElementChild, shape);
  way.className = `decision-way ${each.error ? "off" : grows ? "up" : "down"}`;
  say(way.lastElementChild, each.error ? `stays at ${each.before}` : `${each.before} → ${each.target}`);
  say(why.firstElementChild, each.reason);
  say(why.lastElementChild, failed ? ` (${each.error})` : "");
  say(when.querySelector("time"), ago(each.at));
}
