// Looking at a drawing that is larger than its frame: moved and zoomed with pointer, touch and keys.

import { h, set } from "./dom.js";

const SMALLEST = 0.1;
const LARGEST = 2.5;
const STEP = 80; // pixels that an arrow key moves
const LOWEST = 240; // pixels of a frame's height
const READABLE = 0.62; // no smaller at the beginning: who wants to see all of it presses 0

/**
 * A frame around a group of an SVG.
 *
 * @param {SVGSVGElement} frame  focusable
 * @param {SVGGElement} group  what is drawn, in units of its own
 * @returns {{size(width, height), begin(x, y), fit(), zoom(factor, at), reveal(box), buttons: Element}}
 */
export function viewport(frame, group) {
  const view = { x: 0, y: 0, scale: 1 };
  const drawing = { width: 1, height: 1 };
  const pointers = new Map();
  let dragged = 0;

  const apply = () => set(group, { transform: `translate(${view.x.toFixed(1)} ${view.y.toFixed(1)}) scale(${view.scale.toFixed(4)})` });
  const room = () => ({ width: frame.clientWidth || 600, height: frame.clientHeight || 400 });
  const within = (scale) => Math.min(LARGEST, Math.max(SMALLEST, scale));
  const whole = () => {
    const { width, height } = room();
    return within(Math.min(width / drawing.width, height / drawing.height, 1.15));
  };
  /** Never lose the drawing: some of it stays in the frame. */
  const hold = () => {
    const { width, height } = room();
    const edge = 60;
    view.x = Math.min(width - edge, Math.max(edge - drawing.width * view.scale, view.x));
    view.y = Math.min(height - edge, Math.max(edge - drawing.height * view.scale, view.y));
    apply();
  };
  const move = (x, y) => {
    view.x += x;
    view.y += y;
    hold();
  };
  const zoom = (factor, at) => {
    const { width, height } = room();
    const { x, y } = at ?? { x: width / 2, y: height / 2 };
    const scale = within(view.scale * factor);
    view.x = x - ((x - view.x) * scale) / view.scale;
    view.y = y - ((y - view.y) * scale) / view.scale;
    view.scale = scale;
    hold();
  };
  const middle = (scale) => {
    const { width, height } = room();
    view.scale = scale;
    view.x = (width - drawing.width * scale) / 2;
    view.y = (height - drawing.height * scale) / 2;
    apply();
  };
  const fit = () => middle(whole());
  /** Readable, with this point of the drawing in sight. */
  const begin = (x, y) => {
    middle(Math.max(whole(), READABLE));
    const { width, height } = room();
    if (drawing.width * view.scale > width) {
      view.x = Math.min(0, Math.max(width - drawing.width * view.scale, width / 3 - x * view.scale));
    }
    if (drawing.height * view.scale > height) {
      view.y = Math.min(0, Math.max(height - drawing.height * view.scale, height / 2 - y * view.scale));
    }
    apply();
  };
  const reveal = ({ x, y, width, height }) => {
    const frame = room();
    const edge = 16;
    const left = view.x + x * view.scale;
    const top = view.y + y * view.scale;
    const right = left + width * view.scale;
    const bottom = top + height * view.scale;
    move(
      left < edge ? edge - left : right > frame.width - edge ? frame.width - edge - right : 0,
      top < edge ? edge - top : bottom > frame.height - edge ? frame.height - edge - bottom : 0,
    );
  };

  const where = (event) => {
    const box = frame.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pointers.set(event.pointerId, where(event));
    dragged = 0;
  });
  frame.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = where(event);
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const apart = Math.hypot(before.x - other.x, before.y - other.y);
      if (apart > 0) zoom(Math.hypot(now.x - other.x, now.y - other.y) / apart, other);
    } else move(now.x - before.x, now.y - before.y);
    dragged += Math.abs(now.x - before.x) + Math.abs(now.y - before.y);
    if (dragged > 4 && !frame.hasPointerCapture(event.pointerId)) frame.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, now);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    frame.addEventListener(name, (event) => pointers.delete(event.pointerId));
  }
  // A drag that ends on a task is no click on it; Enter is one (it has no detail).
  frame.addEventListener("click", (event) => {
    if (dragged > 4 && event.detail > 0) event.preventDefault();
  }, true);
  frame.addEventListener("dragstart", (event) => event.preventDefault());
  // The wheel alone scrolls the page; with Ctrl, as pinching does too, it zooms.
  frame.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 300), where(event));
  }, { passive: false });
  const keys = {
    ArrowLeft: () => move(STEP, 0), ArrowRight: () => move(-STEP, 0),
    ArrowUp: () => move(0, STEP), ArrowDown: () => move(0, -STEP),
    "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: fit,
  };
  frame.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  const button = (text, label, act) => h("button", { type: "button", "aria-label": label, title: label, onclick: act }, text);
  const buttons = h("div", { class: "zoom-buttons" }, button("+", "Larger (+)", () => zoom(1.25)),
    button("−", "Smaller (-)", () => zoom(0.8)), button("Fit", "All of it (0)", fit));
  return {
    size(width, height) {
      drawing.width = width;
      drawing.height = height;
      frame.style.setProperty("max-block-size", `${Math.max(LOWEST, Math.round(1.15 * height + 60))}px`);
    },
    begin, fit, zoom, reveal, buttons, view,
  };
}
