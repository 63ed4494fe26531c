// A JSON value as a tree that unfolds: what is folded does not exist.

import { h } from "./dom.js";

const TEXT = 400; // characters of a text shown at once
const MANY = 100; // members shown at once

/** @returns {HTMLElement} */
export function tree(value, name = null, open = true) {
  if (value === null || typeof value !== "object") return leaf(value, name);
  const members = Array.isArray(value) ? value.map((each, n) => [n, each]) : Object.entries(value);
  if (!members.length) return h("div", { class: "leaf" }, label(name), h("span", { class: "muted" }, Array.isArray(value) ? "[ ]" : "{ }"));
  const body = h("div", { class: "branch" });
  const element = h("details", { class: "tree" },
    h("summary", {}, label(name), h("span", { class: "muted" }, Array.isArray(value) ? `[${members.length}]` : `{${members.length}}`)),
    body);
  const unfold = () => {
    if (element.open && !body.childElementCount) more(body, members, 0);
  };
  element.addEventListener("toggle", unfold);
  element.open = open;
  unfold();
  return element;
}

function more(body, members, from) {
  body.append(...members.slice(from, from + MANY).map(([name, value]) => tree(value, name, false)));
  const left = members.length - from - MANY;
  if (left <= 0) return;
  const button = h("button", { type: "button", class: "quiet", onclick: () => {
    const before = button.previousElementSibling;
    button.remove();
    more(body, members, from + MANY);
    reached(before.nextElementSibling);
  } }, `${left} more`);
  body.append(button);
}

function leaf(value, name) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const shown = h("span", { class: `value ${value === null ? "null" : typeof value}` }, text.slice(0, TEXT));
  const element = h("div", { class: "leaf" }, label(name), shown);
  if (text.length > TEXT) {
    const button = h("button", { type: "button", class: "quiet", onclick: () => {
      shown.textContent = text;
      button.remove();
      reached(shown);
    } }, `… ${text.length - TEXT} more characters`);
    element.append(button);
  }
  return element;
}

/** The button that had the focus is gone: what it brought has it now. */
function reached(element) {
  element.tabIndex = -1;
  element.focus();
}

function label(name) {
  return name === null ? null : h("span", { class: "name" }, `${name}: `);
}
