// A plan's tasks as cards in columns, by the stage that they are in.

import { h, link, say, set, to } from "./dom.js";
import { counted } from "./format.js";
import { badge, rebadge } from "./parts.js";
import { COLUMNS, columnOf, stageOf, statusOf, timingOf, troubleOf } from "./stages.js";
import { oneLine } from "./work.js";

const NAMED = new Set(["deployed", "waiting"]);

/** `show(tasks, since)` draws them; a card that moves keeps the focus. */
export function planBoard() {
  const columns = new Map(COLUMNS.map(([key, heading]) => [key, column(key, heading)]));
  const cards = new Map();
  const element = h("div", { class: "board", role: "group", "aria-label": "Tasks by stage",
    onkeydown: (event) => walk(event, columns) }, [...columns.values()].map((each) => each.element));
  return {
    element,
    show(tasks, since = 0) {
      const focused = element.contains(document.activeElement) ? document.activeElement : null;
      const known = new Set(tasks.map((task) => task.id));
      for (const [id, card] of cards) if (!known.has(id)) { card.element.remove(); cards.delete(id); }
      const groups = new Map(COLUMNS.map(([key]) => [key, []]));
      for (const task of tasks) groups.get(columnOf(task)).push(task);
      for (const [key, group] of groups) arrange(columns.get(key), group, cards, since);
      if (focused && document.activeElement !== focused) focused.focus({ preventScroll: true });
    },
    tick(tasks, since) {
      for (const task of tasks) cards.get(task.id)?.time(task, since);
    },
  };
}

function column(key, heading) {
  const count = h("span", { class: "tally" });
  const list = h("ul", { class: "cards" });
  const title = h("h3", { id: `column-${key}` }, heading, " ", count);
  const element = h("section", { class: "column", data: { column: key }, "aria-labelledby": title.id }, title, list);
  return { element, list, count };
}

function arrange(column, tasks, cards, since) {
  let place = column.list.firstElementChild;
  for (const task of tasks) {
    if (!cards.has(task.id)) cards.set(task.id, card());
    const one = cards.get(task.id);
    one.show(task, since);
    if (one.element === place) place = place.nextElementSibling;
    else column.list.insertBefore(one.element, place);
  }
  say(column.count, tasks.length);
  column.count.setAttribute("aria-label", counted(tasks.length, "task"));
  column.element.classList.toggle("none", tasks.length === 0);
}

function card() {
  const name = h("span", { class: "card-name" });
  const state = badge("waiting");
  const title = h("span", { class: "card-title" });
  const time = h("span", { class: "card-time" });
  const trouble = h("span", { class: "card-trouble" });
  const foot = h("span", { class: "card-foot" }, state);
  const anchor = link("#/plans", { class: "task-card" },
    h("span", { class: "card-top" }, name, time), title, foot, trouble);
  const element = h("li", {}, anchor);
  const tell = (task, since) => say(time, timingOf(task, since));
  return {
    element,
    time: tell,
    show(task, since) {
      say(name, task.id);
      say(title, task.title);
      rebadge(state, statusOf(task), stageOf(task));
      foot.hidden = NAMED.has(task.status); // the column says it
      tell(task, since);
      say(trouble, oneLine(troubleOf(task)));
      trouble.hidden = !troubleOf(task);
      anchor.dataset.task = task.id;
      set(anchor, { href: task.job_id ? to("/jobs", task.job_id) : null, tabindex: "0",
        title: [task.title, task.priority_why && `priority ${task.priority}: ${task.priority_why}`, troubleOf(task)]
          .filter(Boolean).join("\n") });
    },
  };
}

/** Arrow keys: up and down within a column, left and right to the next one that has cards. */
function walk(event, columns) {
  const step = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
  const here = event.target.closest?.(".task-card");
  if (!step || !here || event.altKey || event.ctrlKey || event.metaKey) return;
  const lists = [...columns.values()].map((each) => [...each.list.querySelectorAll(".task-card")]);
  const across = lists.findIndex((cards) => cards.includes(here));
  const down = lists[across].indexOf(here);
  let next = lists[across][down + step[1]];
  if (step[0]) {
    let at = across + step[0];
    while (lists[at] && !lists[at].length) at += step[0];
    next = lists[at]?.[Math.min(down, lists[at].length - 1)];
  }
  event.preventDefault();
  next?.focus();
  next?.scrollIntoView({ block: "nearest", inline: "nearest" });
}
