// Charts over time, drawn as SVG: bars that stand on each other, and lines. A pointer or the arrow
// keys read single values; a table below says the same to who cannot see it.

import { h, put, say, svg } from "./dom.js";
import { clock } from "./format.js";

const LEFT = 46;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 22;

/**
 * @param {{label: string, height?: number, format: (value: number) => string,
 *   series: Array<{name: string, key: string, kind: string, mark: "bar"|"line"|"dashes"}>}} options
 * @returns {{element: HTMLElement, show: (points: Array<object>, step: number) => void, stop: () => void}}
 *   points: [{at, …}], oldest first; a missing value is a gap
 */
export function chart({ label, height = 170, format, series }) {
  const state = { points: [], step: 60, width: 600, at: null };
  const drawing = svg("svg", { class: "chart-drawing", role: "img", tabindex: 0, "aria-label": label, height });
  const reading = h("p", { class: "chart-reading", "aria-live": "off" });
  const table = h("tbody");
  const names = series.map(({ name, kind, mark }) =>
    h("span", { class: `legend ${kind} ${mark}` }, h("i"), name));
  const element = h(
    "figure",
    { class: "chart" },
    h("figcaption", {}, h("span", { class: "chart-title" }, label), h("span", { class: "legends" }, names)),
    drawing,
    reading,
    h("details", { class: "chart-table" }, h("summary", {}, "As a table"),
      h("div", { class: "chart-rows", tabindex: 0, role: "region", "aria-label": `${label} as a table` },
        h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "From"),
          series.map(({ name }) => h("th", { scope: "col", class: "number" }, name)))), table))),
  );
  const details = element.querySelector("details");
  const draw = () => {
    drawing.setAttribute("viewBox", `0 0 ${state.width} ${height}`);
    put(drawing, picture(state, { series, height, format }));
    if (details.open) fillTable();
    read();
  };
  const fillTable = () => put(table, [...state.points].reverse().slice(0, 240).map((point) =>
    h("tr", {}, h("td", {}, clock(new Date(point.at * 1000))),
      series.map(({ key }) => h("td", { class: "number" }, value(point, key, format))))));
  const read = () => {
    const point = state.points[state.at];
    say(reading, point
      ? `${clock(new Date(point.at * 1000))}: ${series.map(({ name, key }) => `${name} ${value(point, key, format)}`).join(", ")}`
      : "");
  };
  const move = (at) => {
    const place = at === null || !state.points.length ? null : Math.max(0, Math.min(state.points.length - 1, at));
    if (place === state.at) return;
    state.at = place;
    reading.setAttribute("aria-live", "polite");
    draw();
  };
  const size = new ResizeObserver(([entry]) => {
    const width = Math.max(240, Math.round(entry.contentRect.width));
    if (width !== state.width) {
      state.width = width;
      draw();
    }
  });
  size.observe(element);
  details.addEventListener("toggle", draw);
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const part = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    move(part < 0 ? null : Math.floor(part * state.points.length));
  });
  drawing.addEventListener("pointerleave", () => move(null));
  drawing.addEventListener("blur", () => move(null));
  drawing.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -1e6, End: 1e6 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    move((state.at ?? state.points.length) + steps[event.key]);
  });
  return {
    element,
    show(points, step) {
      Object.assign(state, { points, step });
      if (state.at !== null) state.at = Math.min(state.at, points.length - 1);
      draw();
    },
    stop: () => size.disconnect(),
  };
}

function picture(state, { series, height, format }) {
  const { points, width } = state;
  const inner = { width: width - LEFT - RIGHT, height: height - TOP - BOTTOM };
  const bars = series.filter(({ mark }) => mark === "bar");
  const lines = series.filter(({ mark }) => mark !== "bar");
  const highest = points.reduce((most, point) => Math.max(
    most, bars.reduce((sum, { key }) => sum + (point[key] ?? 0), 0), ...lines.map(({ key }) => point[key] ?? 0)), 0);
  const top = ceiling(highest);
  const x = (n) => LEFT + (n * inner.width) / Math.max(1, points.length);
  const y = (amount) => TOP + inner.height * (1 - amount / top);
  return [
    (highest ? [0, top / 2, top] : [0]).map((tick) => [
      svg("line", { class: "rule", x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick) }),
      svg("text", { class: "tick", x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, format(tick)),
    ]),
    times(points, width).map(([n, text]) =>
      svg("text", { class: "tick", x: x(n), y: height - 5, "text-anchor": "middle" }, text)),
    columns(points, bars, { x, y, inner }),
    lines.map(({ key, kind, mark }) => svg("path", { class: `line ${kind} ${mark}`, d: path(points, key, x, y) })),
    state.at === null || !points[state.at] ? null : svg("rect", {
      class: "cursor", x: x(state.at), y: TOP, width: Math.max(2, inner.width / points.length), height: inner.height,
    }),
    highest ? null : svg("text", { class: "nothing", x: LEFT + inner.width / 2, y: TOP + inner.height / 2, "text-anchor": "middle" }, "nothing in this time"),
  ];
}

function columns(points, bars, { x, y, inner }) {
  const gap = inner.width / Math.max(1, points.length) > 5 ? 1.5 : 0.4;
  return points.flatMap((point, n) => {
    let below = 0;
    return bars.filter(({ key }) => point[key] > 0).map(({ key, kind }) => {
      const from = y(below);
      below += point[key];
      const high = Math.max(1.5, from - y(below));
      return svg("rect", { class: `bar ${kind}`, x: x(n) + gap / 2, y: from - high, rx: gap > 1 ? 1.5 : 0,
        width: Math.max(0.6, x(n + 1) - x(n) - gap), height: high });
    });
  });
}

function path(points, key, x, y) {
  let pen = "M";
  return points.map((point, n) => {
    const amount = point[key];
    if (amount === null || amount === undefined) {
      pen = "M";
      return "";
    }
    const piece = `${pen}${((x(n) + x(n + 1)) / 2).toFixed(1)} ${y(amount).toFixed(1)}${pen === "M" ? "h.01" : ""}`;
    pen = "L";
    return piece;
  }).join("");
}

/** Some round times along the axis: [index, text]. */
function times(points, width) {
  if (points.length < 2) return [];
  const seconds = points.at(-1).at - points[0].at;
  const wanted = Math.max(2, Math.floor(width / 110));
  const every = [60, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400]
    .find((each) => seconds / each <= wanted) ?? 86400 * 7;
  const found = [];
  let before = null;
  points.forEach((point, n) => {
    const date = new Date(point.at * 1000);
    const number = Math.floor((point.at - date.getTimezoneOffset() * 60) / every);
    if (before !== null && number !== before && n > 1 && n < points.length - 1) found.push([n, clock(date).slice(0, 5)]);
    before = number;
  });
  return found;
}

/** The next round number: 1, 2 or 5 times a power of ten. */
function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 8, 10].map((each) => each * power).find((each) => each >= value * 0.999);
}

function value(point, key, format) {
  const amount = point[key];
  return amount === null || amount === undefined ? "–" : format(amount);
}
