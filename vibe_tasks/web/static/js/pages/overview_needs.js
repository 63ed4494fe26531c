// What needs a person, graver things first; one line each, with the way there.

import { h, keyed, put, say, to } from "../dom.js";
import { counted, span } from "../format.js";
import { icon } from "../icons.js";
import { card } from "../parts.js";

export function needsCard(context) {
  const list = h("ul", { class: "needs" });
  const calm = h("p", { class: "calm-line" });
  const element = card("Needs you", { class: "needs-card" }, list, calm);
  let approvals = [];
  let budgets = [];
  let status = null;
  const show = () => {
    if (!status) return;
    const found = needs(status, approvals, budgets);
    element.classList.toggle("is-calm", !found.length);
    put(calm, found.length ? null : [icon("done"), " Nothing: all goes on by itself."]);
    keyed(list, found, ({ key }) => key, ({ kind, shape, href }) =>
      h("li", {}, h("a", { class: `need ${kind}`, href }, icon(shape), h("span", { class: "need-text" }, h("strong"), h("span")), icon("link"))),
    (element_, { text, line }) => {
      const place = element_.querySelector(".need-text");
      say(place.firstElementChild, text);
      say(place.lastElementChild, line);
    });
  };
  context.live({
    load: (signal) => context.api.get("approvals", { limit: 100 }, { signal }),
    show(found) {
      approvals = found.items;
      show();
    },
    seconds: 20,
    wakes: (event) => /^(APPROVAL_|DEPLOYED|PLAN_|TASK_)/.test(event.hook_event_type),
  });
  return {
    element,
    show(found) {
      status = found;
      show();
    },
    /** Jobs that a budget has stopped: [{plan, jobs, why}] */
    budgets(found) {
      budgets = found;
      show();
    },
  };
}

/** [{key, kind, shape, text, line, href}] */
function needs(status, approvals, budgets) {
  const found = [];
  if (approvals.length) {
    const plans = [...new Set(approvals.map((each) => each.plan))].filter(Boolean);
    found.push({ key: "approvals", kind: "wait", shape: "approvals", href: to("/approvals"),
      text: `${counted(approvals.length, "deploy")} ${approvals.length === 1 ? "waits" : "wait"} for your approval`, line: plans.slice(0, 4).join(", ") });
  }
  for (const { plan, jobs, why } of budgets) {
    found.push({ key: `budget ${plan}`, kind: "wait", shape: "paused", href: to("/plans", plan),
      text: `${counted(jobs, "job")} of ${plan} ${jobs === 1 ? "waits" : "wait"} for a larger budget`, line: why ?? "" });
  }
  if (status.dead_letters) {
    found.push({ key: "dead", kind: "bad", shape: "bad", href: to("/dead-letters"),
      text: counted(status.dead_letters, "dead letter"), line: "will not be tried again by themselves" });
  }
  for (const breaker of status.breakers.filter(({ state }) => state === "open")) {
    found.push({ key: `breaker ${breaker.name}`, kind: "bad", shape: "warn", href: to("/events", undefined, { type: "BREAKER_OPENED" }),
      text: `Breaker ${breaker.name} is open`, line: `${breaker.reason || "too many calls failed"}; next try in ${span(breaker.wait_seconds)}` });
  }
  for (const lane of status.unserved_lanes) {
    found.push({ key: `unserved ${lane.lane}`, kind: "bad", shape: "workers", href: to("/workers"),
      text: `No worker serves lane ${lane.lane}`, line: `${counted(lane.due, "job")} due, for ${span(lane.seconds)}` });
  }
  for (const lack of status.waiting_for_labels) {
    const labels = lack.required.join(", ");
    found.push({ key: `labels ${lack.lane} ${labels}`, kind: "wait", shape: "workers", href: to("/workers"),
      text: `${counted(lack.jobs, "job")} of lane ${lack.lane} ${lack.jobs === 1 ? "needs" : "need"} ${labels}`,
      line: lack.workers ? "its workers are full" : "no worker has these labels" });
  }
  const lost = status.workers.filter(({ status: state }) => state === "lost");
  if (lost.length) {
    found.push({ key: "lost", kind: "bad", shape: "lost", href: to("/workers"),
      text: `${counted(lost.length, "worker")} lost`, line: lost.slice(0, 3).map(({ worker_id: id }) => id).join(", ") });
  }
  return found;
}
