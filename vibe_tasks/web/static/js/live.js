// Figures that stay true: loaded now, after a while, and soon after an event that changes them.

import { Problem } from "./api.js";

const SOON = 400; // milliseconds: a burst of events is one look
const LEAST = 1000; // milliseconds between two looks
const SHARE = 10; // times as long as a look took is the rest after it: many pages, one server
const LONGEST = 60_000; // milliseconds of such a rest, and of one after failures

/**
 * Keep something loaded while the page is shown.
 *
 * @param {object} context  the page's
 * @param {object} options
 * @param {(signal: AbortSignal) => Promise<any>} options.load
 * @param {(value: any) => void} options.show
 * @param {(problem: Error) => void} [options.fail]  a look that failed; the next is tried all the same
 * @param {number} [options.seconds]  between two looks without an event
 * @param {(event: object) => boolean} [options.wakes]  which events change what is shown
 * @returns {{refresh: () => Promise<void>, stop: () => void}}  refresh: now, and without an answer
 *   that is under way: it may be older than what somebody has just done or asked for
 */
export function live(context, { load, show, fail = () => {}, seconds = 10, wakes = () => false }) {
  let timer = null;
  let due = Infinity;
  let last = 0;
  let took = 0;
  let failures = 0;
  let running = null; // AbortController of the look that is under way
  let again = false;
  const rest = () => Math.max(LEAST, Math.min(LONGEST, SHARE * took));
  const pause = () => Math.max(rest(), Math.min(LONGEST, seconds * 1000 * 2 ** Math.min(failures, 6)));
  const later = (milliseconds) => {
    clearTimeout(timer);
    due = performance.now() + milliseconds;
    if (!context.signal.aborted) timer = setTimeout(look, milliseconds);
  };
  const once = async (mine) => {
    const began = performance.now();
    try {
      const value = await load(mine.signal);
      if (running !== mine || context.signal.aborted) return;
      failures = 0;
      show(value);
    } catch (error) {
      if (error.name === "AbortError" || running !== mine || context.signal.aborted) return;
      failures += 1;
      if (!(error instanceof Problem)) console.error(error); // a mistake of ours
      fail(error);
    } finally {
      last = performance.now();
      took = last - began;
    }
  };
  const begin = async () => {
    clearTimeout(timer);
    if (context.signal.aborted) return;
    due = Infinity;
    const mine = new AbortController();
    running = mine;
    await once(mine);
    if (running !== mine) return;
    running = null;
    later(again ? rest() : pause());
    again = false;
  };
  const look = () => {
    if (running) again = true;
    else if (document.hidden && last) later(seconds * 1000); // nobody looks
    else begin();
  };
  const refresh = () => {
    running?.abort();
    return begin();
  };
  // Never put off what is due sooner: a stream without pauses would put it off for ever.
  const soon = () => {
    const wait = Math.max(SOON, rest() - (performance.now() - last));
    if (running) again = true;
    else if (performance.now() + wait < due) later(wait);
  };
  const ends = [
    context.stream.on("events", (events) => {
      if (events.some(wakes)) soon();
    }),
    context.stream.on("state", (state) => {
      if (state === "live") soon();
    }),
  ];
  const seen = () => {
    if (!document.hidden) soon();
  };
  document.addEventListener("visibilitychange", seen);
  const stop = () => {
    clearTimeout(timer);
    running?.abort();
    document.removeEventListener("visibilitychange", seen);
    for (const end of ends) end();
  };
  context.signal.addEventListener("abort", stop, { once: true });
  begin();
  return { refresh, stop };
}

/** A function that runs at most once per drawn frame, however often it is called. */
export function perFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}
