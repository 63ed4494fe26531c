// A job's history as bars: how long it waited, ran and waited again.

import { h, keyed, put, say, set } from "./dom.js";
import { moment, span } from "./format.js";
import { stretches } from "./history.js";
import { look } from "./parts.js";

const MOST = 60; // stretches that are drawn, the newest

/** `show(history, now)` draws it; elements stay where they are. */
export function timeline() {
  const scale = h("div", { class: "time-scale", "aria-hidden": "true" });
  const list = h("ol", { class: "time-rows" });
  const element = h("div", { class: "timeline" }, list, scale);
  return {
    element,
    show(history, now) {
      const all = stretches(history, now);
      const shown = all.slice(-MOST).map((each, at) => ({ ...each, key: all.length - Math.min(MOST, all.length) + at }));
      if (!shown.length) return;
      const from = shown[0].from;
      const whole = Math.max(shown.at(-1).to - from, 0.001);
      keyed(list, shown, (each) => each.key, row, (one, each) => draw(one, each, from, whole));
      put(scale, h("span", {}, moment(from)), h("span", {}, span(whole)), h("span", {}, moment(from + whole)));
    },
  };
}

function row() {
  return h("li", { class: "time-row" }, h("span", { class: "time-word" }),
    h("span", { class: "time-track" }, h("span", { class: "time-bar" })), h("span", { class: "time-span" }));
}

function draw(element, stretch, from, whole) {
  const [word, track, length] = element.children;
  const [kind, , name] = look(stretch.status);
  const running = stretch.status === "processing";
  say(word, running ? `attempt ${stretch.attempt}` : name);
  say(length, stretch.to > stretch.from || stretch.open ? span(stretch.to - stretch.from) : moment(stretch.from));
  const bar = track.firstElementChild;
  bar.className = `time-bar ${kind}${stretch.open ? " open" : ""}`;
  const part = (value) => `${Math.min(100, Math.max(0, (100 * value) / whole)).toFixed(2)}%`;
  set(bar, { style: { "margin-inline-start": `min(${part(stretch.from - from)}, calc(100% - 3px))`, "inline-size": part(stretch.to - stretch.from) } });
  const words = [moment(stretch.from), name, stretch.worker && `on ${stretch.worker}`, stretch.details];
  element.title = words.filter(Boolean).join(" · ").slice(0, 500);
}
