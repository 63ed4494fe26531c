// Figures that stay true: loaded now, after a while, and soon after an event that changes them.

const SOON = 400; // milliseconds: a burst of events is one look
const LEAST = 1000; // milliseconds between two looks

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
 * @returns {{refresh: () => Promise<void>, stop: () => void}}
 */
export function live(context, { load, show, fail = () => {}, seconds = 10, wakes = () => false }) {
  let timer = null;
  let due = Infinity;
  let last = 0;
  let busy = null;
  let again = false;
  const later = (milliseconds) => {
    clearTimeout(timer);
    due = performance.now() + milliseconds;
    if (!context.signal.aborted) timer = setTimeout(look, milliseconds);
  };
  const once = async () => {
    try {
      const value = await load(context.signal);
      if (!context.signal.aborted) show(value);
    } catch (error) {
      if (error.name !== "AbortError" && !context.signal.aborted) fail(error);
    }
    last = performance.now();
  };
  const look = () => {
    if (busy) {
      again = true;
      return busy;
    }
    if (document.hidden && last) {
      later(seconds * 1000); // nobody looks
      return Promise.resolve();
    }
    due = Infinity;
    busy = once().finally(() => {
      busy = null;
      later(again ? LEAST : seconds * 1000);
      again = false;
    });
    return busy;
  };
  // Never put off what is due sooner: a stream without pauses would put it off for ever.
  const soon = () => {
    const wait = Math.max(SOON, LEAST - (performance.now() - last));
    if (performance.now() + wait < due) later(wait);
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
    document.removeEventListener("visibilitychange", seen);
    for (const end of ends) end();
  };
  context.signal.addEventListener("abort", stop, { once: true });
  look();
  return { refresh: look, stop };
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
