// Keys: g and a letter goes to a page, ? shows them all. Never while somebody types.

import { h } from "./dom.js";
import { tell } from "./parts.js";

const PATIENCE = 1500; // milliseconds between g and its letter

/** The keyboard of the whole dashboard. */
export class Keys {
  /** @param {Array<{key: string, title: string, path: string}>} places */
  constructor(places, go) {
    this.places = places;
    this.go = go;
    this.own = new Map(); // key -> {label, act}, of the page that is shown
    this.waiting = 0;
    document.addEventListener("keydown", (event) => this.press(event));
  }

  /** A key of the page that is shown; gone when the page is. */
  add(key, label, act) {
    this.own.set(key, { label, act });
  }

  clear() {
    this.own.clear();
  }

  press(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (typing(event.target) || (event.key === " " && pressed(event.target))) return;
    if (document.querySelector("dialog[open]")) return;
    if (this.waiting && performance.now() - this.waiting < PATIENCE) {
      const place = this.places.find(({ key }) => key === event.key);
      this.waiting = 0;
      if (place) {
        event.preventDefault();
        this.go(place.path);
        return;
      }
    }
    if (event.key === "g") this.waiting = performance.now();
    else if (event.key === "?") {
      event.preventDefault();
      this.show();
    } else if (this.own.has(event.key)) {
      event.preventDefault();
      this.own.get(event.key).act();
    }
  }

  show() {
    const row = (keys, label) =>
      h("li", {}, h("span", { class: "keys" }, keys.map((key) => h("kbd", {}, key))), h("span", {}, label));
    return tell("Keys", h(
      "ul",
      { class: "key-list" },
      this.places.map(({ key, title }) => row(["g", key], title)),
      [...this.own].map(([key, { label }]) => row([key === " " ? "space" : key], label)),
      row(["?"], "These keys"),
    ));
  }
}

function typing(target) {
  return target instanceof Element &&
    target.closest("input, textarea, select, [contenteditable]") !== null &&
    !["checkbox", "radio", "button"].includes(target.type);
}

/** What the space bar presses, opens or ticks: it is no key of the page there. */
function pressed(target) {
  return target instanceof Element && target.closest("button, a, summary, input, [role=option], [role=listbox]") !== null;
}
