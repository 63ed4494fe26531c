// Making and changing elements. Text only ever goes in as text: nothing here reads markup, so
// nothing that somebody wrote into a title, an error or a payload can become part of the page.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 *
 * h("button", {class: "primary", type: "button", onclick: act, disabled: busy}, "Retry")
 *
 * @param {string} tag
 * @param {object} props  class, text, style ({name: value}), data ({name: value}), on<event>:
 *   function, aria-* and all other attributes by name; null, undefined and false leave one out
 * @param {...(Node|string|number|null|false|Array)} children  texts become text nodes
 * @returns {HTMLElement}
 */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG: svg("path", {d: "M0 0h4"}). */
export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/** Put these children, and no others, into an element. */
export function put(element, ...children) {
  element.replaceChildren(...flat(children));
  return element;
}

/** Set a text without touching the page where it is there already. */
export function say(element, text) {
  const wanted = text === null || text === undefined ? "" : String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** Set attributes and handlers of an element that is there, as `h` does. */
export function set(element, props) {
  for (const [name, value] of Object.entries(props ?? {})) setOne(element, name, value);
  return element;
}

/**
 * Show one element for each item, keeping those that are there: focus, scrolling and open details
 * survive a refresh.
 *
 * @param {Element} parent  it holds nothing but these
 * @param {Array} items
 * @param {(item) => string|number} keyOf
 * @param {(item) => Element} make
 * @param {(element, item) => void} update  called for new ones too
 */
export function keyed(parent, items, keyOf, make, update) {
  const known = parent.vibeKeyed ?? new Map();
  const next = new Map();
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  for (const item of items) {
    const key = keyOf(item);
    if (!next.has(key)) next.set(key, [item, known.get(key)]);
  }
  // First, so that those behind them need not be moved: what is moved loses the focus.
  for (const [key, element] of known) if (!next.has(key)) element.remove();
  let place = parent.firstElementChild;
  for (const [key, [item, there]] of next) {
    const element = there ?? make(item);
    next.set(key, element);
    update(element, item);
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  parent.vibeKeyed = next;
  if (focused && document.activeElement !== focused) refocus(focused);
}

/** Who went through a list with the keyboard goes on from it, not from the top of the page. */
function refocus(element) {
  const place = element.isConnected ? element : document.getElementById("main");
  if (!document.querySelector("dialog[open]")) place.focus({ preventScroll: true });
}

/** A link of ours: only within this page. */
export function link(hash, props, ...children) {
  return h("a", { href: hash.startsWith("#") ? hash : `#${hash}`, ...props }, ...children);
}

/** A hash for a page: to("/jobs", id) with the id made safe; query: {name: value}. */
export function to(path, id, query) {
  const tail = id === undefined ? "" : `/${encodeURIComponent(id)}`;
  const asked = new URLSearchParams(query ?? {}).toString();
  return `#${path}${tail}${asked ? `?${asked}` : ""}`;
}

function fill(element, props, children) {
  set(element, props);
  element.append(...flat(children));
  return element;
}

function flat(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

function setOne(element, name, value) {
  if (name === "text") say(element, value);
  else if (name === "style") {
    for (const [property, wanted] of Object.entries(value)) element.style.setProperty(property, wanted);
  } else if (name === "data") Object.assign(element.dataset, value);
  else if (name.startsWith("on")) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
  } else if (name === "value" && "value" in element) element.value = value ?? "";
  else if (name === "checked") element.checked = Boolean(value);
  else if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (name === "href" && !/^(#|static\/)/.test(value)) element.setAttribute("href", "#/");
  else if (name !== "srcdoc" && name !== "src") element.setAttribute(name, value === true ? "" : value);
}
