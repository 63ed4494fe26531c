// The ledger's jobs, newest first: filtered, and page by page.

import { h, keyed, put, say, set } from "../dom.js";
import { badge, empty, failed, head, rebadge, skeleton } from "../parts.js";
import { jobLink, KINDS, oneLine, shortId, standing, STATUSES, what, when } from "../work.js";

const PAGE = 50;
const FILTERS = ["status", "lane", "plan", "task", "kind"];

export function page(context) {
  const asked = Object.fromEntries(FILTERS.map((name) => [name, wanted(name, context.query.get(name) ?? "")]));
  const state = { asked, cursors: [], next: null };
  const body = h("tbody", {});
  const table = h("table", { class: "folds job-list" },
    h("thead", {}, h("tr", {}, ["What", "Status", "Job", "Lane", "Attempt", "Changed", "Error"].map((name) => h("th", { scope: "col", class: name === "Attempt" ? "number" : null }, name)))), body);
  const place = h("div", {}, skeleton(8));
  const turn = pager((step) => {
    if (step > 0 && !state.next) return; // pressed twice before the answer came
    if (step > 0) state.cursors.push(state.next);
    else state.cursors.pop();
    state.next = null;
    look.refresh();
    context.announce(`Page ${state.cursors.length + 1}`);
  });
  const look = context.live({
    load: (signal) => context.api.get("jobs", { ...state.asked, limit: PAGE, cursor: state.cursors.at(-1) }, { signal }),
    show({ items, next }) {
      state.next = next;
      turn.show(state.cursors.length, Boolean(next));
      if (!items.length) {
        const filtered = FILTERS.some((name) => state.asked[name]);
        put(place, filtered ? empty("No job is like that", "Change or clear the filter.") : empty("There are no jobs yet", "Submit a plan, or call a function that is a job."));
        return;
      }
      if (!table.isConnected) put(place, table);
      keyed(body, items, (job) => job.id, row, update);
    },
    fail: (problem) => failed(place, problem, () => look.refresh()),
    seconds: 5,
    wakes: () => state.cursors.length === 0,
  });
  const form = filters(state.asked, (values) => {
    state.asked = values;
    state.cursors = [];
    state.next = null; // that of another listing
    context.requery(values);
    look.refresh();
  });
  context.key("f", "Filter", () => form.querySelector("select, input").focus());
  return { element: h("div", {}, head("Jobs", { line: "Every piece of work in the ledger, newest first." }), h("div", { class: "card" }, form, place, turn.element)) };
}

/** What the address asks for; what a choice does not have is nothing that was asked for. */
function wanted(name, value) {
  const known = { status: STATUSES, kind: KINDS }[name];
  return known && !known.includes(value) ? "" : value;
}

function filters(asked, change) {
  const select = (name, label, values) => h("label", { class: "field" }, h("span", {}, label),
    h("select", { name }, h("option", { value: "" }, "any"), values.map((value) => h("option", { value, selected: value === asked[name] }, value))));
  const input = (name, label) => h("label", { class: "field" }, h("span", {}, label),
    h("input", { name, type: "search", value: asked[name], autocomplete: "off", spellcheck: "false" }));
  const form = h("form", { class: "filters", role: "search", "aria-label": "Filter the jobs" },
    select("status", "Status", STATUSES), select("kind", "Kind", KINDS),
    input("lane", "Lane"), input("plan", "Plan"), input("task", "Task"),
    h("button", { type: "reset" }, "Clear"));
  const read = () => Object.fromEntries(FILTERS.map((name) => [name, form.elements[name].value.trim()]));
  let timer = null;
  const later = (milliseconds) => {
    clearTimeout(timer);
    timer = setTimeout(() => change(read()), milliseconds);
  };
  form.addEventListener("submit", (event) => { event.preventDefault(); later(0); });
  form.addEventListener("input", (event) => later(event.target.matches("select") ? 0 : 350));
  form.addEventListener("reset", (event) => {
    event.preventDefault(); // else it would go back to what the address asked for
    for (const name of FILTERS) form.elements[name].value = "";
    later(0);
  });
  return form;
}

/** Two buttons through the pages of a listing; `turn(+1)` is older, `turn(-1)` newer. */
export function pager(turn) {
  const newer = h("button", { type: "button", onclick: () => turn(-1) }, "Newer");
  const older = h("button", { type: "button", onclick: () => turn(1) }, "Older");
  const words = h("span", { class: "muted small" });
  const element = h("nav", { class: "pager", "aria-label": "Pages", hidden: true }, newer, words, older);
  return {
    element,
    show(at, more) {
      element.hidden = at === 0 && !more;
      set(newer, { disabled: at === 0 });
      set(older, { disabled: !more });
      say(words, `page ${at + 1}`);
    },
  };
}

function row(job) {
  return h("tr", {},
    h("td", { class: "lead" }, jobLink(job.id, what(job))),
    h("td", { data: { label: "Status" } }, badge(...standing(job))),
    h("td", { class: "mono muted", data: { label: "Job" } }, shortId(job.id)),
    h("td", { data: { label: "Lane" } }, job.lane),
    h("td", { data: { label: "Attempt" }, class: "number" }),
    h("td", { data: { label: "Changed" } }),
    h("td", { data: { label: "Error" }, class: "error-cell" }, h("span", { class: "lines-2" })));
}

function update(element, job) {
  const [, status, , , attempt, changed, error] = element.children;
  rebadge(status.firstElementChild, ...standing(job));
  say(attempt, job.attempt || "");
  put(changed, when(job.status_updated_at));
  say(error.firstElementChild, oneLine(job.error));
  error.classList.toggle("none", !job.error);
  error.title = job.error ?? "";
}
