// Parts that pages share: what a status looks like, cards, empty and failed states, dialogs.

import { h, put, say, set } from "./dom.js";
import { icon, reshape } from "./icons.js";

// kind (colour and shade), shape, and the word where it is not the status itself
const STATUS = {
  completed: ["good", "done"], deployed: ["good", "done"], done: ["good", "done"],
  online: ["good", "done"], closed: ["good", "done"], passed: ["good", "done"], ok: ["good", "done"],
  processing: ["busy", "running", "running"], running: ["busy", "running"], open: ["bad", "warn"],
  pending: ["wait", "waiting", "waiting"], waiting: ["wait", "waiting"], starting: ["wait", "waiting"],
  half_open: ["wait", "waiting", "half open"], held: ["wait", "waiting"],
  blocked: ["hold", "blocked"], paused: ["hold", "paused"], draining: ["hold", "drain"],
  failed: ["bad", "bad"], dead: ["bad", "bad"], lost: ["bad", "lost"], error: ["bad", "bad"],
  cancelled: ["off", "off"], offline: ["off", "off"], expired: ["off", "off"],
  critical: ["bad", "critical"], high: ["wait", "high"], system: ["note", "system"],
  regular: ["off", "regular"],
};

/** Names of an event's levels, 0 to 3. */
export const LEVELS = ["regular", "high", "critical", "system"];

/** [kind, shape, word] of a status; kinds: good busy wait hold bad off note. */
export function look(status) {
  const [kind, shape, word] = STATUS[status] ?? ["off", "regular"];
  return [kind, shape, word ?? String(status ?? "unknown").replaceAll("_", " ")];
}

/** A status as shape, colour and word. Give the same element to `rebadge` to change it. */
export function badge(status, text) {
  const element = h("span", { class: "badge" }, icon("regular"), h("span"));
  rebadge(element, status, text);
  return element;
}

export function rebadge(element, status, text) {
  const [kind, shape, word] = look(status);
  if (element.dataset.status === status && text === undefined) return;
  element.className = `badge ${kind}`;
  element.dataset.status = status;
  reshape(element.firstElementChild, shape);
  say(element.lastElementChild, text ?? word);
}

/** A section with a heading: card("Lanes", {aside: link, class: "wide"}, body). */
export function card(title, props, ...children) {
  const { aside, ...rest } = props ?? {};
  const id = `card-${title.toLowerCase().replace(/[^a-z0-9]+/g, "-")}`;
  return h(
    "section",
    { ...rest, class: `card ${rest.class ?? ""}`.trim(), "aria-labelledby": id },
    h("div", { class: "card-head" }, h("h2", { id }, title), aside),
    ...children,
  );
}

/** The head of a page: its h1, a line below it, and what can be done. */
export function head(title, { line, actions = [] } = {}) {
  return h(
    "div",
    { class: "page-head" },
    h("div", {}, h("h1", {}, title), line ? h("p", { class: "page-line" }, line) : null),
    actions.length ? h("div", { class: "actions" }, ...actions) : null,
  );
}

/** What stands where nothing is: say what would be here and how it comes to be. */
export function empty(title, hint, shape = "info") {
  return h("div", { class: "empty" }, icon(shape), h("p", { class: "empty-title" }, title),
    hint ? h("p", {}, hint) : null);
}

/** What went wrong, in words, with a way to try again. */
export function failure(problem, again) {
  return h(
    "div",
    { class: "failure", role: "alert" },
    icon("warn"),
    h("div", {}, h("p", { class: "empty-title" }, problem.title || "This could not be loaded"),
      h("p", {}, problem.message)),
    problem.status === 401 ? h("button", { type: "button", onclick: () => location.reload() }, "Give a token")
      : again ? h("button", { type: "button", onclick: again }, "Try again") : null,
  );
}

/** Put a failure where it belongs; one that stands there already is not said again. */
export function failed(place, problem, again) {
  if (place.firstElementChild?.vibeProblem === problem.message) return;
  const element = failure(problem, again);
  element.vibeProblem = problem.message;
  put(place, element);
}

/** Grey bars while the first answer is on its way. */
export function skeleton(lines = 3) {
  return h("div", { class: "skeleton", "aria-hidden": "true" },
    Array.from({ length: lines }, () => h("span")));
}

/** A meter: how much of how much, as a bar; `kind` colours it. */
export function meter(value, most, { label, kind = "busy" } = {}) {
  const element = h("div", { class: "meter", role: "meter", "aria-valuemin": 0 }, h("span"));
  remeter(element, value, most, { label, kind });
  return element;
}

export function remeter(element, value, most, { label, kind = "busy" } = {}) {
  const part = most > 0 ? Math.min(1, value / most) : 0;
  set(element, { "aria-valuenow": value, "aria-valuemax": Math.max(most, value, 1), "aria-label": label });
  element.className = `meter ${kind}`;
  element.firstElementChild.style.setProperty("inline-size", `${(100 * part).toFixed(1)}%`);
}

/**
 * Ask before something is done; resolves to whether it shall be, or to the typed text.
 *
 * @param {{title: string, body?: string|Node, action?: string, danger?: boolean,
 *   input?: {label: string, type?: string, value?: string, required?: boolean},
 *   signal?: AbortSignal}} options  signal: aborted when nobody needs the answer any more
 */
export function ask({ title, body, action = "OK", danger = false, input, signal }) {
  const field = input && h("input", {
    id: "ask-field", type: input.type ?? "text", value: input.value ?? "", autocomplete: "off",
    required: input.required, spellcheck: "false",
  });
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "ask-title" },
    h(
      "form",
      { method: "dialog" },
      h("h2", { id: "ask-title" }, title),
      body ? h("div", { class: "dialog-body" }, typeof body === "string" ? h("p", {}, body) : body) : null,
      field ? h("label", { class: "field", for: "ask-field" }, h("span", {}, input.label), field) : null,
      h(
        "div",
        { class: "dialog-actions" },
        h("button", { type: "button", class: "quiet", onclick: () => dialog.close("no") }, "Cancel"),
        h("button", { type: "submit", value: "yes", class: danger ? "danger" : "primary" }, action),
      ),
    ),
  );
  return shown(dialog, () => (dialog.returnValue === "yes" ? (field ? field.value : true) : field ? null : false), signal);
}

/** A dialog that only tells something. */
export function tell(title, body) {
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "tell-title" },
    h("form", { method: "dialog" }, h("h2", { id: "tell-title" }, title), h("div", { class: "dialog-body" }, body),
      h("div", { class: "dialog-actions" }, h("button", { type: "submit", class: "primary" }, "Close"))),
  );
  return shown(dialog, () => true);
}

function shown(dialog, result, signal) {
  document.body.append(dialog);
  return new Promise((resolve) => {
    const close = () => dialog.close("no");
    let pressed = null; // a text that is marked until beside the dialog does not close it
    dialog.addEventListener("close", () => {
      signal?.removeEventListener("abort", close);
      dialog.remove();
      resolve(result());
    });
    dialog.addEventListener("pointerdown", (event) => { pressed = event.target; });
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog && pressed === dialog) close();
    });
    signal?.addEventListener("abort", close);
    dialog.showModal();
  });
}

/** A short notice in the corner; a problem stays longer. */
export function toast(text, kind = "good") {
  const place = document.getElementById("toasts");
  const shape = kind === "bad" ? "bad" : kind === "good" ? "done" : "info";
  const element = h("div", { class: `toast ${kind}` }, icon(shape), h("p", {}, text),
    h("button", { type: "button", class: "quiet", "aria-label": "Close this notice", onclick: () => element.remove() }, "×"));
  place.append(element);
  while (place.childElementCount > 4) place.firstElementChild.remove();
  announce(text, kind === "bad");
  setTimeout(() => element.remove(), kind === "bad" ? 12000 : 5000);
}

/** Let a screen reader say it. */
export function announce(text, urgent = false) {
  const place = document.getElementById(urgent ? "alarm" : "news");
  put(place); // the same text twice is said twice
  requestAnimationFrame(() => say(place, text));
}
