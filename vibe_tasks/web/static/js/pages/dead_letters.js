// Dead letters: what will not be tried again by itself. One or many are brought back or taken off.

import { h, keyed, put, say } from "../dom.js";
import { counted } from "../format.js";
import { empty, failed, head, skeleton } from "../parts.js";
import { jobLink, KINDS, oneLine, shortId, what, when } from "../work.js";

const PAGE = 200; // at once; a button loads more
const WAKES = /^(JOB_|TASK_|QA_|PLAN_)/;

export function page(context) {
  const state = { items: [], next: null, most: PAGE, chosen: new Set(), words: context.query.get("filter") ?? "", kind: context.query.get("kind") ?? "" };
  const parts = makeParts(state);
  const place = h("div", {}, skeleton(5));
  const look = context.live({
    async load(signal) {
      const items = [];
      for await (const item of context.api.all("dlq", {}, { most: state.most + 1, signal })) items.push(item);
      return items;
    },
    show(items) {
      state.more = items.length > state.most;
      state.items = items.slice(0, state.most);
      const known = new Set(state.items.map((job) => job.id));
      for (const id of state.chosen) if (!known.has(id)) state.chosen.delete(id);
      draw();
    },
    fail: (problem) => { if (!state.items.length) failed(place, problem, () => look.refresh()); },
    seconds: 15,
    wakes: (event) => WAKES.test(event.hook_event_type),
  });
  const shown = () => state.items.filter((job) => fits(job, state));
  const draw = () => {
    const rows = shown();
    if (!state.items.length) put(place, empty("No dead letters", "Every job either works or will be tried again by itself.", "done"));
    else if (!rows.length) put(place, empty("No dead letter is like that", "Change or clear the filter."));
    else if (!parts.table.isConnected) put(place, parts.table);
    keyed(parts.body, rows, (job) => job.id, (job) => row(job, state, drawBar), update(state));
    parts.more.hidden = !state.more;
    drawBar();
  };
  const drawBar = () => {
    const rows = shown();
    const number = rows.filter((job) => state.chosen.has(job.id)).length;
    parts.bar.hidden = !state.items.length;
    say(parts.count, number ? `${counted(number, "dead letter")} of ${rows.length} selected` : `${counted(rows.length, "dead letter")}, none selected`);
    parts.all.checked = number > 0 && number === rows.length;
    parts.all.indeterminate = number > 0 && number < rows.length;
    parts.retry.disabled = parts.discard.disabled = number === 0;
  };
  const chosen = () => shown().filter((job) => state.chosen.has(job.id)).map((job) => job.id);
  const act = async (name) => {
    const ids = chosen();
    if (!ids.length || !(await context.ask(questions[name](ids.length)))) return;
    await context.attempt(async () => {
      const done = await context.api.post(`dlq/${name}`, { ids }, { signal: context.signal });
      report(context, name, done);
    });
    await look.refresh();
  };
  const everything = () => {
    const rows = shown();
    const whole = rows.every((job) => state.chosen.has(job.id));
    for (const job of rows) whole ? state.chosen.delete(job.id) : state.chosen.add(job.id);
    draw();
  };
  const filter = () => {
    state.words = parts.words.value.trim();
    state.kind = parts.kind.value;
    context.requery({ filter: state.words, kind: state.kind });
    draw();
  };
  parts.all.addEventListener("change", everything);
  parts.retry.addEventListener("click", () => act("retry"));
  parts.discard.addEventListener("click", () => act("discard"));
  parts.words.addEventListener("input", filter);
  parts.kind.addEventListener("change", filter);
  parts.more.addEventListener("click", () => { state.most += PAGE; look.refresh(); });
  context.key("s", "Select all that are shown, or none", everything);
  context.key("r", "Retry what is selected", () => act("retry"));
  context.key("x", "Discard what is selected", () => act("discard"));
  context.key("f", "Filter", () => parts.words.focus());
  return { element: h("div", {}, head("Dead letters", { line: "What will not be tried again by itself: bring it back, or take it off the list." }),
    h("div", { class: "card" }, parts.filters, parts.bar, place, parts.more)) };
}

const questions = {
  retry: (number) => ({ title: `Retry ${counted(number, "dead letter")}?`, action: "Retry",
    body: "A job that failed gets its attempts back; a task that QA refused gets one more fix round." }),
  discard: (number) => ({ title: `Discard ${counted(number, "dead letter")}?`, action: "Discard", danger: true,
    body: "They leave this list for good. The jobs and their history stay in the ledger." }),
};

function report(context, name, done) {
  const ids = done.retried ?? done.discarded ?? [];
  const refused = done.refused ?? [];
  if (ids.length) context.toast(`${counted(ids.length, "dead letter")} ${name === "retry" ? "go on" : "discarded"}`.replace("1 dead letter go on", "1 dead letter goes on"));
  if (refused.length) context.toast(`${counted(refused.length, "dead letter")} had changed meanwhile: ${refused[0].why}`, "bad");
}

function makeParts(state) {
  const body = h("tbody", {});
  const table = h("table", { class: "folds dead-list" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("span", { class: "unseen" }, "Selected")),
      ["What", "Job", "Attempts", "Since", "Error"].map((name) => h("th", { scope: "col", class: name === "Attempts" ? "number" : null }, name)))), body);
  const words = h("input", { type: "search", value: state.words, autocomplete: "off", spellcheck: "false", placeholder: "plan, task or error" });
  const kind = h("select", {}, h("option", { value: "" }, "any"), KINDS.map((each) => h("option", { value: each, selected: each === state.kind }, each)));
  const all = h("input", { type: "checkbox" });
  const count = h("span", { role: "status" });
  const retry = h("button", { type: "button", class: "primary", disabled: true }, "Retry");
  const discard = h("button", { type: "button", class: "danger", disabled: true }, "Discard");
  return {
    body, table, words, kind, all, count, retry, discard,
    more: h("button", { type: "button", hidden: true }, "Show more"),
    filters: h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
      h("label", { class: "field grow" }, h("span", {}, "Filter"), words), h("label", { class: "field" }, h("span", {}, "Kind"), kind)),
    bar: h("div", { class: "bulk-bar", hidden: true }, h("label", { class: "check" }, all, count), h("span", { class: "actions" }, retry, discard)),
  };
}

function fits(job, { words, kind }) {
  if (kind && job.kind !== kind) return false;
  const text = `${what(job)} ${job.id} ${job.error ?? ""}`.toLowerCase();
  return words.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function row(job, state, changed) {
  const box = h("input", { type: "checkbox", "aria-label": `Select ${what(job)}`, onchange: () => {
    if (box.checked) state.chosen.add(job.id);
    else state.chosen.delete(job.id);
    changed();
  } });
  return h("tr", {}, h("td", { class: "select-cell" }, box),
    h("td", { class: "lead" }, jobLink(job.id, what(job))),
    h("td", { class: "mono muted", data: { label: "Job" } }, shortId(job.id)),
    h("td", { class: "number", data: { label: "Attempts" } }),
    h("td", { data: { label: "Since" } }),
    h("td", { class: "error-cell", data: { label: "Error" } }, h("span", { class: "lines-3" })));
}

function update(state) {
  return (element, job) => {
    const [select, , , attempts, since, error] = element.children;
    select.firstElementChild.checked = state.chosen.has(job.id);
    say(attempts, job.attempt);
    put(since, when(job.dead_at));
    say(error.firstElementChild, oneLine(job.error));
    error.title = job.error ?? "";
  };
}
