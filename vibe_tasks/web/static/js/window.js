// A list of which only the part in view exists: ten thousand rows cost as much as thirty.
//
// For screen readers and the keyboard it is a list box: one stop of Tab, the arrows move within it,
// Enter opens. Each row has the same height. What is read stays where it is when rows come in
// above it.

import { h, set } from "./dom.js";

const SPARE = 6; // rows beyond each edge

/**
 * @param {{label: string, rowHeight: () => number, make: () => HTMLElement,
 *   update: (row: HTMLElement, item: object) => void, open: (item: object) => void}} options
 */
export class Windowed {
  constructor({ label, rowHeight, make, update, open }) {
    this.options = { rowHeight, make, update, open };
    this.items = [];
    this.places = null; // id -> index, made when needed
    this.rows = new Map(); // id -> element
    this.free = [];
    this.active = null; // id
    this.space = h("div", { class: "window-space", role: "presentation" });
    this.element = h("div", {
      class: "window", role: "listbox", tabindex: 0, "aria-label": label,
      onscroll: () => this.draw(),
      onkeydown: (event) => this.press(event),
      onclick: (event) => this.click(event),
    }, this.space);
    this.size = new ResizeObserver(() => this.draw());
    this.size.observe(this.element);
  }

  stop() {
    this.size.disconnect();
  }

  /** Whether the newest row is in view. */
  get atTop() {
    return this.element.scrollTop < this.options.rowHeight() / 2;
  }

  /** Show these, newest first; each has an `id`. */
  show(items) {
    const anchor = this.atTop ? null : this.anchor();
    this.items = items;
    this.places = null;
    this.space.style.setProperty("block-size", `${items.length * this.options.rowHeight()}px`);
    if (anchor) {
      const place = this.place(anchor.id);
      if (place !== -1) this.element.scrollTop = place * this.options.rowHeight() + anchor.offset;
    }
    this.draw();
  }

  /** The first row in view, and how far it has gone out of it. */
  anchor() {
    const height = this.options.rowHeight();
    const index = Math.floor(this.element.scrollTop / height);
    const item = this.items[index];
    return item && { id: item.id, offset: this.element.scrollTop - index * height };
  }

  place(id) {
    if (id === null) return -1;
    this.places ??= new Map(this.items.map((item, n) => [item.id, n]));
    return this.places.get(id) ?? -1;
  }

  draw() {
    const height = this.options.rowHeight();
    const first = Math.max(0, Math.floor(this.element.scrollTop / height) - SPARE);
    const last = Math.min(this.items.length, Math.ceil((this.element.scrollTop + this.element.clientHeight) / height) + SPARE);
    const wanted = new Set();
    for (let n = first; n < last; n++) wanted.add(this.items[n].id);
    for (const [id, row] of this.rows) {
      if (wanted.has(id)) continue;
      this.rows.delete(id);
      row.removeAttribute("id"); // the event may come back in another row
      this.free.push(row);
    }
    for (let n = first; n < last; n++) this.drawRow(this.items[n], n, height);
    for (const row of this.free.splice(SPARE * 2)) row.remove();
    for (const row of this.free) row.hidden = true;
    this.mark();
  }

  drawRow(item, n, height) {
    let row = this.rows.get(item.id);
    if (!row) {
      row = this.free.pop() ?? this.space.appendChild(set(this.options.make(), { role: "option" }));
      row.hidden = false;
      row.id = `row-${item.id}`;
      row.dataset.id = item.id;
      this.rows.set(item.id, row);
    }
    this.options.update(row, item);
    if (row.vibeTop !== n * height) {
      row.vibeTop = n * height;
      row.style.setProperty("transform", `translateY(${row.vibeTop}px)`);
    }
    set(row, { "aria-posinset": n + 1, "aria-setsize": this.items.length });
  }

  mark() {
    for (const [id, row] of this.rows) set(row, { "aria-selected": String(id === this.active) });
    set(this.element, { "aria-activedescendant": this.rows.has(this.active) ? `row-${this.active}` : null });
  }

  /** Make this the row that Enter opens. */
  activate(id) {
    this.active = id;
    const place = this.place(id);
    if (place !== -1) {
      const height = this.options.rowHeight();
      const top = place * height;
      const { scrollTop, clientHeight } = this.element;
      if (top < scrollTop) this.element.scrollTop = top;
      else if (top + height > scrollTop + clientHeight) this.element.scrollTop = top + height - clientHeight;
    }
    this.draw();
  }

  press(event) {
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.options.rowHeight()) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in steps && this.items.length) {
      event.preventDefault();
      const wanted = this.place(this.active) + steps[event.key]; // from -1 where none is active
      this.activate(this.items[Math.max(0, Math.min(this.items.length - 1, wanted))].id);
    } else if ((event.key === "Enter" || event.key === " ") && this.place(this.active) !== -1) {
      event.preventDefault();
      this.options.open(this.items[this.place(this.active)]);
    }
  }

  click(event) {
    const row = event.target.closest("[role=option]");
    if (!row) return;
    const place = this.place(Number(row.dataset.id));
    if (place === -1) return;
    this.activate(this.items[place].id);
    this.options.open(this.items[place]);
  }
}
