// Shapes beside every colour: nobody has to tell green from red. Drawn on 16 by 16.

import { svg } from "./dom.js";

const SHAPES = {
  done: "M3 8.500l3.200 3.200L13 5", // a tick
  bad: "M4 4l8 8M12 4l-8 8", // a cross
  running: "M5 3.500v9l7.500-4.500z", // a triangle
  waiting: "M8 4v4l3 2M8 1.800a6.200 6.200 0 100 12.400A6.200 6.200 0 008 1.800z", // a clock
  paused: "M5.500 3.500v9M10.500 3.500v9",
  off: "M8 2a6 6 0 100 12A6 6 0 008 2zM4 12l8-8", // struck through
  blocked: "M3 8h10", // a bar
  warn: "M8 2l6.500 11.500h-13zM8 6.500v3M8 11.300v.4",
  lost: "M6 6a2 2 0 114 0c0 1.500-2 1.600-2 3.200M8 12v.3",
  drain: "M8 2.500v8M4.500 7.500L8 11l3.500-3.500M3.500 13.500h9",
  info: "M8 7.500v4M8 4.300v.4M8 1.800a6.200 6.200 0 100 12.400A6.200 6.200 0 008 1.800z",
  up: "M8 13V3.500M4 7l4-4 4 4",
  down: "M8 3v9.500M4 9l4 4 4-4",
  flag: "M4 14V2.500h8.500l-2.500 3 2.500 3H4",
  system: "M8 1.800l5.400 3.100v6.200L8 14.200l-5.400-3.100V4.900z", // a hexagon
  critical: "M8 1.800L14.200 8 8 14.200 1.800 8z", // a diamond
  high: "M8 3l5.500 9.500h-11z", // a triangle that points up
  regular: "M8 5a3 3 0 100 6 3 3 0 000-6z", // a dot
  overview: "M2.500 2.500h4.800v6H2.500zM8.800 2.500h4.700v3.500H8.800zM2.500 10.200h4.800v3.300H2.500zM8.800 7.700h4.700v5.800H8.800z",
  plans: "M2.500 3h3v10h-3zM6.500 3h3v6.500h-3zM10.500 3h3v8h-3z",
  jobs: "M5.500 4h8M5.500 8h8M5.500 12h8M2.500 4h.5M2.500 8h.5M2.500 12h.5",
  dead: "M2.500 4.500h11v8h-11zM2.500 4.500L8 9l5.500-4.500",
  workers: "M3 3h10v4H3zM3 9h10v4H3zM5 5h.5M5 11h.5",
  events: "M1.800 8h3l2-4.500 2.500 9 2-4.500h3",
  approvals: "M8 1.800l5 2v4c0 3-2 5.200-5 6.400-3-1.200-5-3.400-5-6.400v-4zM5.500 8l2 2 3.200-3.500",
  link: "M6 3.500L10.500 8 6 12.500",
};

/** A shape by name; it says nothing to screen readers: the text beside it does. */
export function icon(name, props) {
  return svg(
    "svg",
    { viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false", class: "icon", ...props },
    svg("path", { d: SHAPES[name] ?? SHAPES.regular }),
  );
}

/** Put another shape into an icon that is there. */
export function reshape(element, name) {
  element.firstElementChild.setAttribute("d", SHAPES[name] ?? SHAPES.regular);
}
