// A change as people read it: files, lines that came and lines that went. What an agent wrote is
// shown as what it is: characters that would hide or turn round a text are named instead.

import { h } from "./dom.js";
import { counted } from "./format.js";

const MOST_OPEN = 8; // files whose lines are shown at once
// Controls but tab, invisible and direction-changing characters (CVE-2021-42574), half characters.
// eslint-disable-next-line no-control-regex
const ODD = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]/u;
const ODDS = new RegExp(ODD.source, "gu");

/**
 * The files of a unified diff.
 * @param {string} text  what `git diff-tree --patch-with-stat` says
 * @returns {{path: string, added: number, removed: number,
 *   lines: {kind: "add"|"del"|"same"|"hunk"|"meta", text: string, old: number|null, new: number|null}[]}[]}
 */
export function filesOf(text) {
  const files = [];
  let file = null;
  let left = { old: 0, new: 0 }; // lines that the hunk still has to have
  let at = { old: 0, new: 0 };
  for (const line of text.replace(/\n$/, "").split("\n")) {
    const inside = left.old > 0 || left.new > 0;
    if (!inside && line.startsWith("diff --git ")) {
      file = { path: pathOf(line), added: 0, removed: 0, lines: [] };
      files.push(file);
      continue;
    }
    if (!file) continue; // the statistics at the beginning
    const hunk = inside ? null : /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/.exec(line);
    if (hunk) {
      at = { old: Number(hunk[1]), new: Number(hunk[3]) };
      left = { old: Number(hunk[2] ?? 1), new: Number(hunk[4] ?? 1) };
      file.lines.push({ kind: "hunk", text: line, old: null, new: null });
    } else if (inside) file.lines.push(changed(file, line, at, left));
    else file.lines.push(meta(file, line));
  }
  return files;
}

function changed(file, line, at, left) {
  const kind = line[0] === "+" ? "add" : line[0] === "-" ? "del" : line[0] === "\\" ? "meta" : "same";
  const told = { kind, text: kind === "meta" ? line : line.slice(1), old: null, new: null };
  if (kind === "meta") return told;
  if (kind !== "add") {
    told.old = at.old++;
    left.old -= 1;
  }
  if (kind !== "del") {
    told.new = at.new++;
    left.new -= 1;
  }
  file.added += kind === "add";
  file.removed += kind === "del";
  return told;
}

function meta(file, line) {
  const renamed = /^rename to (.*)$/.exec(line);
  if (renamed) file.path = renamed[1];
  const named = /^\+\+\+ (?:b\/)?(.*)$/.exec(line);
  if (named && named[1] !== "/dev/null") file.path = named[1].replace(/\t$/, "");
  return { kind: "meta", text: line, old: null, new: null };
}

function pathOf(line) {
  const both = line.slice("diff --git ".length);
  const half = both.slice((both.length + 1) / 2); // "a/x b/x": both halves name the same file
  return (half.startsWith("b/") ? half : both.split(" b/").at(-1)).replace(/^b\//, "");
}

/** A text with its odd characters named, as nodes. */
export function harmless(text) {
  if (!ODD.test(text)) return [text];
  const nodes = [];
  let from = 0;
  for (const match of text.matchAll(ODDS)) {
    if (match.index > from) nodes.push(text.slice(from, match.index));
    const code = match[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    const name = match[0] === "\r" ? "␍" : `U+${code}`;
    nodes.push(h("span", { class: "odd", title: "a character that cannot be seen" }, name));
    from = match.index + match[0].length;
  }
  if (from < text.length) nodes.push(text.slice(from));
  return nodes;
}

/** Whether a text has characters that would hide something. */
export function isOdd(text) {
  return ODD.test(text.replace(/\r?\n/g, ""));
}

/**
 * The whole change.
 * @param {string} text  the diff
 * @param {{cut?: boolean}} [options]  whether there is more of it
 */
export function diffView(text, { cut = false } = {}) {
  const files = filesOf(text);
  if (!files.length) {
    return h("p", { class: "hint" }, text.trim() ? h("code", { class: "plain" }, harmless(text)) : "It changes nothing.");
  }
  const added = files.reduce((sum, file) => sum + file.added, 0);
  const removed = files.reduce((sum, file) => sum + file.removed, 0);
  return h(
    "div",
    { class: "diff" },
    h("p", { class: "diff-sum" }, counted(files.length, "file"), " changed, ", sums(added, removed)),
    isOdd(text) ? h("p", { class: "diff-odd", role: "note" }, "It has characters that cannot be seen; they are named where they stand.") : null,
    files.map((file, number) => fileView(file, number < MOST_OPEN)),
    cut ? h("p", { class: "hint" }, "There is more of it; what is shown ends here.") : null,
  );
}

function sums(added, removed) {
  return [h("span", { class: "plus" }, `+${added}`), " ", h("span", { class: "minus" }, `−${removed}`)];
}

/** The lines of a file are made when it is opened: a large change shall not hold up the page. */
function fileView(file, open) {
  const body = h("div", { class: "diff-lines", tabindex: "0", role: "region", "aria-label": `Changes of ${file.path}` });
  const element = h("details", { class: "diff-file", open },
    h("summary", {}, h("span", { class: "mono diff-path" }, harmless(file.path)), sums(file.added, file.removed)), body);
  const fillIn = () => {
    if (element.open && !body.firstChild) {
      body.append(h("table", { class: "diff-table" }, h("tbody", {}, file.lines.map(lineView))));
    }
  };
  element.addEventListener("toggle", fillIn);
  fillIn();
  return element;
}

const SIGNS = { add: "+", del: "−", same: " ", hunk: "", meta: "" };

function lineView(line) {
  return h(
    "tr",
    { class: line.kind },
    h("td", { class: "line-number", "aria-hidden": "true" }, line.old ?? ""),
    h("td", { class: "line-number", "aria-hidden": "true" }, line.new ?? ""),
    h("td", { class: "sign" }, SIGNS[line.kind]),
    h("td", { class: "code" }, harmless(line.text)),
  );
}
