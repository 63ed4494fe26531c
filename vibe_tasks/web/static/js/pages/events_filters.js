// Which events are shown: bucket, least priority, session, type, and a text. What is chosen stands
// in the address, so that it can be sent to somebody.

import { h, set } from "../dom.js";
import { cut } from "../format.js";
import { LEVELS } from "../parts.js";

const BUCKETS = [["", "All"], ["priority", "Priority"], ["regular", "Regular"]];
const PATIENCE = 200; // milliseconds after the last letter

/** @returns {{element, fits(event), query(), active(), focus()}} */
export function filters(context, { change }) {
  const { query } = context;
  const chosen = {
    bucket: BUCKETS.some(([name]) => name === query.get("bucket")) ? query.get("bucket") : "",
    priority: Math.max(0, Math.min(3, Number(query.get("min_priority")) || 0)),
    session: query.get("session") ?? "",
    type: query.get("type") ?? "",
    text: query.get("q") ?? "",
  };
  const changed = () => {
    context.requery({
      bucket: chosen.bucket, min_priority: chosen.priority || null, session: chosen.session,
      type: chosen.type, q: chosen.text,
    });
    change();
  };
  const buttons = BUCKETS.map(([name, text]) => h("button", { type: "button", "aria-pressed": String(name === chosen.bucket), onclick: () => {
    chosen.bucket = name;
    BUCKETS.forEach(([each], n) => set(buttons[n], { "aria-pressed": String(each === name) }));
    changed();
  } }, text));
  const priority = h("select", { id: "filter-priority", onchange: () => {
    chosen.priority = Number(priority.value);
    changed();
  } }, LEVELS.map((name, level) => h("option", { value: level }, level ? `${name} and above` : "any")));
  priority.value = String(chosen.priority);
  const session = choice("filter-session", "any session", chosen.session, (value) => {
    chosen.session = value;
    changed();
  });
  const type = choice("filter-type", "any type", chosen.type, (value) => {
    chosen.type = value;
    changed();
  });
  let timer = null;
  const text = h("input", { id: "filter-text", type: "search", value: chosen.text, placeholder: "Search", autocomplete: "off", spellcheck: "false", oninput: () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      chosen.text = text.value.trim();
      changed();
    }, PATIENCE);
  } });
  context.live({
    load: (signal) => context.api.get("events/filter-options", {}, { signal }),
    show(options) {
      fillChoice(session, options.session_ids ?? [], chosen.session);
      fillChoice(type, options.hook_event_types ?? [], chosen.type);
    },
    seconds: 20,
  });
  context.signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  const field = (id, name, control) => h("label", { class: "field", for: id }, h("span", {}, name), control);
  return {
    element: h("div", { class: "event-filters", role: "search" },
      h("div", { class: "field" }, h("span", { id: "filter-bucket" }, "Bucket"), h("div", { class: "segments", role: "group", "aria-labelledby": "filter-bucket" }, buttons)),
      field("filter-priority", "Priority", priority), field("filter-session", "Session", session),
      field("filter-type", "Type", type), field("filter-text", "Text", text)),
    fits: (event) => fits(event, chosen),
    query: () => queryOf(chosen),
    active: () => Boolean(chosen.bucket || chosen.priority || chosen.session || chosen.type || chosen.text),
    focus: () => text.focus(),
  };
}

function fits(event, { bucket, priority, session, type, text }) {
  if (bucket && (bucket === "priority") !== event.priority > 0) return false;
  if (event.priority < priority) return false;
  if (session && event.session !== session) return false;
  if (type && event.type !== type) return false;
  if (!text) return true;
  const wanted = text.toLowerCase();
  return [event.summary, event.type, event.app, event.session, event.payload ?? ""]
    .some((each) => each.toLowerCase().includes(wanted));
}

/** What to ask the server for, where the buckets may not have it all; null: they have. */
function queryOf({ bucket, priority, session, type }) {
  if (!session && !type) return null;
  return { session_id: session, hook_event_type: type, min_priority: bucket === "priority" ? Math.max(1, priority) : priority || null };
}

function choice(id, anyText, value, choose) {
  const element = h("select", { id, onchange: () => choose(element.value) }, h("option", { value: "" }, anyText));
  fillChoice(element, [], value);
  return element;
}

/** The options, kept where they are the same: an open menu does not close. */
function fillChoice(element, names, value) {
  const wanted = [...new Set([...names, ...(value ? [value] : [])])].sort();
  const there = [...element.options].slice(1).map((option) => option.value);
  if (JSON.stringify(wanted) !== JSON.stringify(there)) {
    while (element.options.length > 1) element.lastElementChild.remove();
    element.append(...wanted.map((name) => h("option", { value: name }, cut(name, 48))));
  }
  element.value = value;
}
