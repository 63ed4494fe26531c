"""What can be computed of whether people can use a page: names of controls, headings, contrast.

It finds no more than that: whether a page makes sense to somebody who hears it, no program tells.
"""

from __future__ import annotations

from typing import Any

LEAST_CONTRAST = 4.5
LEAST_CONTRAST_LARGE = 3.0
"""Of text, and of large text. Source: WCAG 2.2, 1.4.3 (AA)."""

AUDIT = """(least) => {
  const found = [];
  const say = (what, element) =>
    found.push(`${what}: <${element.tagName.toLowerCase()} ${element.getAttribute('class')}> `
      + (element.textContent ?? '').trim().slice(0, 50));
  const shown = (element) =>
    element.checkVisibility({checkOpacity: true, checkVisibilityCSS: true});
  const named = (element) => {
    const by = (element.getAttribute('aria-labelledby') ?? '').split(/ +/).filter(Boolean)
      .map((id) => document.getElementById(id)?.textContent ?? '').join(' ');
    const labels = [...(element.labels ?? [])].map((label) => label.textContent).join(' ');
    return [element.getAttribute('aria-label'), by, labels, element.textContent, element.title]
      .some((text) => (text ?? '').trim());
  };
  if (!document.documentElement.lang) found.push('no language');
  if (document.querySelectorAll('h1').length !== 1) found.push('not one h1');
  let level = 1;
  for (const heading of [...document.querySelectorAll('h1, h2, h3, h4')].filter(shown)) {
    const now = Number(heading.tagName[1]);
    if (now > level + 1) say(`h${level} is followed by`, heading);
    level = now;
  }
  const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
  const twice = new Set(ids.filter((each, n) => ids.indexOf(each) !== n));
  for (const id of twice) found.push(`id twice: ${id}`);
  const controls = 'button, a[href], input, select, textarea, summary, [role=button], '
    + '[role=listbox], [role=meter], [role=img], [tabindex="0"]';
  for (const element of document.querySelectorAll(controls)) {
    if (!shown(element)) continue;
    const field = ['INPUT', 'SELECT', 'TEXTAREA'].includes(element.tagName);
    const text = field ? [...(element.labels ?? [])].length || element.ariaLabel : named(element);
    if (!text) say('no name', element);
  }
  for (const name of ['aria-controls', 'aria-labelledby', 'aria-activedescendant'])
    for (const element of document.querySelectorAll(`[${name}]`))
      for (const id of (element.getAttribute(name) ?? '').split(/ +/).filter(Boolean))
        if (!document.getElementById(id)) say(`${name} names nothing (${id})`, element);
  for (const row of document.querySelectorAll('table'))
    if (shown(row) && !row.querySelector('th')) say('no headings', row);

  const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) =>
    [0, 1, 2].map((n) => top[n] * top[3] + below[n] * (1 - top[3])).concat(1);
  const ground = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      const colour = rgba(getComputedStyle(each).backgroundColor);
      layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const light = ([r, g, b]) => [r, g, b].map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, n) => sum + value * [0.2126, 0.7152, 0.0722][n], 0);
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || seen.has(element) || !shown(element)) continue;
    seen.add(element);
    if (element.closest('.unseen, noscript, script, .skip, :disabled, option')) continue;
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const below = ground(element);
    const colour = element instanceof SVGElement ? style.fill : style.color;
    const text = over(rgba(colour), below);
    const [high, low] = [light(text), light(below)].sort((one, other) => other - one);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < (large ? least[1] : least[0])) say(`contrast ${contrast.toFixed(2)}`, element);
  }
  return found;
}"""


def audit(page: Any) -> list[str]:
    """What is wrong with the page that is shown, one line each."""
    found: list[str] = page.evaluate(AUDIT, [LEAST_CONTRAST, LEAST_CONTRAST_LARGE])
    return found
