// All plans, newest first, with how far each is.

import { h, keyed, link, put, say, to } from "../dom.js";
import { span } from "../format.js";
import { badge, empty, failed, head, rebadge, skeleton } from "../parts.js";
import { progress, reprogress } from "../progress.js";
import { when } from "../work.js";

const WAKES = /^(PLAN_|TASK_|DEPLOYED)/;

export function page(context) {
  const body = h("tbody", {});
  const table = h("table", { class: "folds plan-list" },
    h("thead", {}, h("tr", {}, ["Plan", "Status", "Tasks", "Started", "Took", "Branch"].map((name) => h("th", { scope: "col", class: name === "Took" ? "number" : null }, name)))), body);
  const more = h("button", { type: "button", hidden: true, onclick: () => show.more() }, "Show more");
  const place = h("div", { class: "card" }, skeleton(5));
  const show = { size: 50, more() { show.size += 100; look.refresh(); } };
  const look = context.live({
    load: (signal) => context.api.get("plans", { limit: show.size }, { signal }),
    show({ items, next }) {
      more.hidden = !next;
      if (!items.length) {
        put(place, empty("There are no plans yet", ["Start one with ", h("code", {}, "vibe run PLAN"), " or ", h("code", {}, "vibe submit PLAN"), "."]));
        return;
      }
      if (!table.isConnected) put(place, table, more);
      keyed(body, items, (plan) => plan.id, row, update);
    },
    fail: (problem) => { if (!table.isConnected) failed(place, problem, () => look.refresh()); },
    seconds: 10,
    wakes: (event) => WAKES.test(event.hook_event_type),
  });
  return { element: h("div", {}, head("Plans", { line: "What was asked for, and how far it is." }), place) };
}

function row(plan) {
  return h("tr", {},
    h("td", { class: "lead" }, link(to("/plans", plan.id), {}, plan.name ?? plan.id), " ", h("small", { class: "muted mono" }, plan.id)),
    h("td", { data: { label: "Status" } }, badge(plan.status)),
    h("td", { data: { label: "Tasks" } }, progress()),
    h("td", { data: { label: "Started" } }),
    h("td", { data: { label: "Took" }, class: "number" }),
    h("td", { data: { label: "Branch" }, class: "mono" }));
}

function update(element, plan) {
  const [, status, tasks, started, took, branch] = element.children;
  rebadge(status.firstElementChild, plan.status);
  reprogress(tasks.firstElementChild, plan.tasks ?? {});
  put(started, when(plan.created_at));
  say(took, plan.ended_at ? span(plan.ended_at - plan.created_at) : "");
  say(branch, plan.branch);
}
