// How far a plan is: a bar of its tasks by what became of them, and the same in words.

import { h, say } from "./dom.js";
import { count } from "./format.js";

const PARTS = [["deployed", "good"], ["running", "busy"], ["dead", "bad"], ["blocked", "hold"], ["cancelled", "off"]];

export function progress() {
  return h("span", { class: "progress" }, h("span", { class: "progress-bar", "aria-hidden": "true" },
    PARTS.map(([, kind]) => h("span", { class: kind }))), h("span", { class: "progress-words" }));
}

/** @param {Record<string, number>} counts  tasks by status */
export function reprogress(element, counts) {
  const [bar, words] = element.children;
  const all = Object.values(counts).reduce((sum, number) => sum + number, 0);
  PARTS.forEach(([status], at) => {
    const part = all ? (100 * (counts[status] ?? 0)) / all : 0;
    bar.children[at].style.setProperty("inline-size", `${part.toFixed(2)}%`);
  });
  const rest = PARTS.slice(2).filter(([status]) => counts[status]).map(([status]) => `${count(counts[status])} ${status}`);
  say(words, [`${count(counts.deployed ?? 0)} of ${count(all)} deployed`, ...rest].join(", "));
}
