// The events that this page holds, whichever of its pages is shown: two buckets, filled from the
// stream. Of each event only a slim form is kept; a large payload is cut and fetched anew when
// somebody unfolds it. So a day of chatter costs no more memory than an hour.

import { Buckets, OVERFLOWS } from "./buckets.js";
import { now } from "./format.js";

const LARGEST = 4000; // characters of a payload's JSON that are kept
const LINE = 300; // characters of a summary that are kept
const NAME = 200; // characters of a name that are kept
const AROUND = 400; // bytes that an event costs beside its texts
const EXPIRY = 10_000; // milliseconds between two looks for what is too old
/** Events that a bucket may be told to hold: what the page can merge in a frame. */
export const MOST = 10_000;
const KEY = "vibe.events";

/** Listeners are told at most once per frame, however many events came. */
export class Feed {
  constructor(stream) {
    this.stream = stream;
    this.buckets = new Buckets(kept());
    this.dropped = 0;
    this.ledger = null; // how many of each level the ledger has
    this.version = 0;
    this.listeners = new Set();
    this.names = { types: new Map(), sessions: new Map(), apps: new Map() };
    stream.on("initial", (events, { resumed, statistics }) => {
      this.ledger = statistics;
      if (!resumed) this.buckets.clear();
      this.take(events);
    });
    stream.on("events", (events) => this.take(events));
    stream.on("dropped", ({ count }) => {
      this.dropped += count;
      this.changed();
    });
    setInterval(() => {
      const before = this.buckets.expired;
      this.buckets.expire(now());
      if (this.buckets.expired !== before) this.changed();
    }, EXPIRY);
  }

  /** Call `listener` when something changed; returns a function that ends it. */
  on(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  take(events) {
    for (const event of events) this.buckets.add(this.slim(event));
    this.changed();
  }

  /** Change the limits, and keep them for the next visit. */
  limit(limits) {
    this.buckets.limit(allowed(limits));
    try {
      localStorage.setItem(KEY, JSON.stringify(this.buckets.limits));
    } catch {
      // they hold for this visit
    }
    this.changed();
  }

  get limits() {
    return this.buckets.limits;
  }

  changed() {
    this.version += 1;
    for (const listener of this.listeners) listener();
  }

  slim(event) {
    const json = JSON.stringify(event.payload) ?? "null";
    const text = json.length > LARGEST ? null : json;
    const summary = line(event);
    const slim = {
      id: event.id,
      timestamp: event.timestamp,
      priority: event.priority,
      type: this.name("types", event.hook_event_type),
      session: this.name("sessions", event.session_id),
      app: this.name("apps", event.source_app),
      model: event.model_name ? cutTo(event.model_name, NAME) : null,
      summary,
      payload: text, // JSON; null: too large, ask the server
      payloadSize: json.length,
      size: 0,
    };
    slim.size = AROUND + 2 * ((text?.length ?? 0) + summary.length);
    return slim;
  }

  /** One string for each name: a thousand events of a session share it. */
  name(kind, text) {
    const known = this.names[kind];
    const found = known.get(text);
    if (found !== undefined) return found;
    if (known.size > 2000) known.clear(); // names that come once each are no reason to grow
    // A cut text would else hold on to the whole message that it was a part of.
    const own = cutTo(String(text), NAME);
    known.set(own, own);
    return own;
  }
}

/** The line that tells an event: its summary, or what its payload says first. */
function line(event) {
  const { payload } = event;
  let text = event.summary;
  if (!text && payload && typeof payload === "object") {
    const input = payload.tool_input ?? {};
    const tool = payload.tool_name ? `${payload.tool_name} ` : "";
    text = payload.message ?? payload.prompt ?? payload.reason ?? payload.error ??
      tool + String(input.command ?? input.file_path ?? input.pattern ?? input.description ?? "");
  }
  if (typeof text !== "string") text = text === undefined || text === null ? "" : JSON.stringify(text);
  return cutTo(text.slice(0, 4 * LINE).replace(/\s+/g, " ").trim(), LINE);
}

/** A copy of its own: a slice would keep the whole text alive. */
function cutTo(text, most) {
  const short = text.length > most ? `${text.slice(0, most - 1)}…` : text;
  return JSON.parse(JSON.stringify(short));
}

/** The limits of the last visit, as far as they make sense. */
function kept() {
  let found = null;
  try {
    found = JSON.parse(localStorage.getItem(KEY) ?? "{}");
  } catch {
    // storage is forbidden, or somebody else wrote there
  }
  return allowed(found ?? {});
}

/** What of these limits can be: other values are left out. */
function allowed(limits) {
  const fits = (value) => Number.isInteger(value) && value >= 1 && value <= MOST;
  const found = {};
  for (const name of ["priority", "regular"]) if (fits(limits[name])) found[name] = limits[name];
  if (limits.maxAge === null || (limits.maxAge > 0 && limits.maxAge <= 30 * 86400)) found.maxAge = limits.maxAge;
  if (Object.hasOwn(OVERFLOWS, limits.overflow)) found.overflow = limits.overflow;
  if (limits.total === null || fits(limits.total)) found.total = limits.total;
  return found;
}
