// Two buckets of events: important ones are never pushed out by chatter. The same rules as
// vibe_tasks/buckets.py; sums are kept, so that an addition costs the same however many there are.

/** Which event goes when both buckets together hold more than they may. */
export const OVERFLOWS = {
  remove_oldest_regular: "oldest regular first",
  remove_oldest: "whatever is oldest",
  remove_lowest_priority: "lowest priority first",
};

/** What a view begins with; `bytes` bounds what is kept of the events' texts. */
const LIMITS = Object.freeze({
  priority: 1000,
  regular: 2000,
  total: null,
  bytes: 12_000_000,
  maxAge: null, // seconds; null: no bound
  overflow: "remove_oldest_regular",
});

/** A queue whose head goes in constant time: an array is shifted rarely, then by half. */
class Queue {
  constructor() {
    this.items = [];
    this.first = 0;
  }

  get length() {
    return this.items.length - this.first;
  }

  push(item) {
    this.items.push(item);
  }

  head() {
    return this.items[this.first];
  }

  shift() {
    const item = this.items[this.first];
    this.items[this.first++] = undefined; // it may be collected at once
    if (this.first > 64 && this.first * 2 > this.items.length) {
      this.items = this.items.slice(this.first);
      this.first = 0;
    }
    return item;
  }

  remove(index) {
    return this.items.splice(this.first + index, 1)[0];
  }

  all() {
    return this.first ? this.items.slice(this.first) : this.items;
  }

  replace(items) {
    this.items = items;
    this.first = 0;
  }
}

/** The newest events; an event has at least id, timestamp (ms), priority and size (bytes). */
export class Buckets {
  constructor(limits = {}) {
    this.limits = { ...LIMITS, ...limits };
    this.priority = new Queue();
    this.regular = new Queue();
    this.bytes = { priority: 0, regular: 0 };
    this.received = { priority: 0, regular: 0 };
    this.removed = { priority: 0, regular: 0 };
    this.expired = 0;
  }

  add(event) {
    const name = event.priority ? "priority" : "regular";
    this.received[name] += 1;
    this.bytes[name] += event.size;
    this[name].push(event);
    this.trim();
  }

  /** Other limits; what is too much for them goes. */
  limit(limits) {
    this.limits = { ...this.limits, ...limits };
    this.trim();
  }

  /** Let go what is older than `maxAge`; `now` in seconds since 1970. */
  expire(now) {
    if (!this.limits.maxAge) return;
    const oldest = (now - this.limits.maxAge) * 1000;
    for (const name of ["priority", "regular"]) {
      const kept = this[name].all().filter((event) => event.timestamp >= oldest);
      if (kept.length === this[name].length) continue;
      this.expired += this[name].length - kept.length;
      this[name].replace(kept);
      this.bytes[name] = kept.reduce((sum, event) => sum + event.size, 0);
    }
  }

  clear() {
    this.priority.replace([]);
    this.regular.replace([]);
    this.bytes = { priority: 0, regular: 0 };
  }

  /** Both by time, oldest first. They come nearly in order: only what is not is sorted. */
  events() {
    const grave = inOrder(this.priority.all());
    const chatter = inOrder(this.regular.all());
    const merged = new Array(grave.length + chatter.length);
    for (let g = 0, c = 0, n = 0; n < merged.length; n++) {
      const takesGrave = c === chatter.length || (g < grave.length && before(grave[g], chatter[c]) <= 0);
      merged[n] = takesGrave ? grave[g++] : chatter[c++];
    }
    return merged;
  }

  statistics() {
    return {
      priority: this.priority.length, regular: this.regular.length,
      bytes: this.bytes.priority + this.bytes.regular, bytesOf: { ...this.bytes },
      received: this.received.priority + this.received.regular, receivedOf: { ...this.received },
      removedOf: { ...this.removed }, expired: this.expired,
    };
  }

  trim() {
    while (this.priority.length > this.limits.priority) this.drop("priority");
    while (this.regular.length > this.limits.regular) this.drop("regular");
    while (this.tooMuch()) this.drop(this.victim());
  }

  tooMuch() {
    const { total, bytes } = this.limits;
    const held = this.priority.length + this.regular.length;
    if (total !== null && held > total) return true;
    return bytes !== null && held > 0 && this.bytes.priority + this.bytes.regular > bytes;
  }

  victim() {
    if (!this.priority.length) return "regular";
    if (!this.regular.length) return "priority";
    if (this.limits.overflow !== "remove_oldest") return "regular";
    return before(this.priority.head(), this.regular.head()) <= 0 ? "priority" : "regular";
  }

  drop(name) {
    const queue = this[name];
    const lowest = name === "priority" && this.limits.overflow === "remove_lowest_priority";
    const gone = lowest ? queue.remove(lowestOf(queue.all())) : queue.shift();
    this.removed[name] += 1;
    this.bytes[name] -= gone.size;
  }
}

function before(one, other) {
  return one.timestamp - other.timestamp || one.id - other.id;
}

function inOrder(events) {
  for (let n = 1; n < events.length; n++) {
    if (before(events[n - 1], events[n]) > 0) return [...events].sort(before);
  }
  return events;
}

function lowestOf(events) {
  let found = 0;
  for (let n = 1; n < events.length; n++) if (events[n].priority < events[found].priority) found = n;
  return found;
}
