// A job's own log: its last lines, growing as the job runs.

import { h, put, say } from "./dom.js";
import { clock } from "./format.js";
import { harmless } from "./diff.js";

const MOST_LINES = 2000; // older ones leave the page; they stay in the ledger
const NEAR = 40; // pixels from the end that count as being at the end

/** `add(lines)` appends; the view follows while it is at its end. */
export function logView() {
  const lines = h("ol", { class: "log-lines" });
  const frame = h("div", { class: "log", tabindex: "0", role: "log", "aria-live": "off", "aria-label": "Log" }, lines);
  const left = h("p", { class: "hint", hidden: true }, `Older lines than the last ${MOST_LINES} are not shown.`);
  const none = h("p", { class: "hint" }, "It has said nothing yet.");
  const follow = h("input", { type: "checkbox", checked: true });
  const foot = h("label", { class: "check small" }, follow, "follow the end");
  const element = h("div", { class: "log-view" }, left, none, frame, foot);
  frame.hidden = foot.hidden = true;
  frame.addEventListener("scroll", () => {
    follow.checked = frame.scrollHeight - frame.scrollTop - frame.clientHeight < NEAR;
  });
  follow.addEventListener("change", () => { if (follow.checked) frame.scrollTop = frame.scrollHeight; });
  return {
    element,
    add(more) {
      if (!more.length) return;
      none.hidden = true;
      frame.hidden = foot.hidden = false;
      const following = follow.checked;
      lines.append(...more.slice(-MOST_LINES).map(lineView));
      while (lines.childElementCount > MOST_LINES) {
        lines.firstElementChild.remove();
        left.hidden = false;
      }
      if (following) frame.scrollTop = frame.scrollHeight;
    },
    clear() {
      put(lines);
      left.hidden = true;
      none.hidden = false;
      frame.hidden = foot.hidden = true;
    },
    none(text) {
      say(none, text);
    },
  };
}

const LOUD = { warning: "warn", error: "bad", critical: "bad" };

function lineView(line) {
  const level = String(line.level ?? "").toLowerCase();
  return h("li", { class: `log-line ${LOUD[level] ?? ""}`.trim() },
    h("time", {}, line.at ? clock(new Date(line.at * 1000)) : ""),
    h("span", { class: "log-level" }, level),
    h("span", { class: "log-text" }, harmless(String(line.text ?? ""))));
}
