// The event stream: one WebSocket for the whole page. Protocol 2; after a break it goes on from the
// last event it saw, so that nothing is missing and nothing comes twice. A server that knows no
// protocol 2 is heard as protocol 1.

const FIRST_PAUSE = 0.5; // seconds before the first new attempt; doubled up to the longest
const LONGEST_PAUSE = 15;
const STEADY = 10_000; // milliseconds: who was live for less has not come back yet
const AWAY = 3600_000; // milliseconds: after so long a tab begins anew, for it keeps but the newest
const PRIORITIES = {
  UserPromptSubmit: 1, Notification: 1, Stop: 1, SubagentStop: 1,
};

/**
 * States: "connecting", "live", "waiting" (a break; `retryIn` seconds until the next attempt).
 *
 * on("events", (events) => …)  new ones, in order of their ids, each once
 * on("initial", (events, {resumed, statistics}) => …)  what a view begins with, oldest first
 * on("gap", () => …)  the server could not go on from where we were: something is missing
 * on("dropped", ({count, regular, priority}) => …)  what we were too slow for
 * on("state", (state) => …), on("hello", (hello) => …)
 *
 * `on` returns a function that ends it.
 */
export class Stream {
  /** @param {() => string|null} token */
  constructor(token) {
    this.token = token;
    this.listeners = new Map();
    this.state = "connecting";
    this.protocol = 2;
    this.hello = null;
    this.lastId = 0;
    this.seenLive = false;
    this.attempts = 0;
    this.retryAt = 0;
    this.liveAt = 0; // when it became so, on the page's own clock
    this.aliveAt = Date.now();
    this.socket = null;
    this.timer = null;
    this.ended = false;
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.hurry();
    });
  }

  on(name, listener) {
    if (!this.listeners.has(name)) this.listeners.set(name, new Set());
    this.listeners.get(name).add(listener);
    return () => this.listeners.get(name).delete(listener);
  }

  tell(name, ...values) {
    for (const listener of [...(this.listeners.get(name) ?? [])]) {
      try {
        listener(...values);
      } catch (error) {
        console.error(error); // one page's mistake must not cut off the others
      }
    }
  }

  start() {
    this.ended = false;
    this.open();
  }

  stop() {
    this.ended = true;
    clearTimeout(this.timer);
    this.socket?.close();
  }

  /** Somebody heard of the server just now. */
  alive() {
    if (this.state === "live") this.aliveAt = Date.now();
  }

  /** Begin anew at once, with the token of now. */
  restart() {
    this.attempts = 0;
    clearTimeout(this.timer);
    const old = this.socket;
    this.socket = null;
    old?.close();
    this.open();
  }

  /** Seconds until the next attempt. */
  get retryIn() {
    return Math.max(0, (this.retryAt - Date.now()) / 1000);
  }

  hurry() {
    if (this.state === "waiting" && !this.ended) this.restart();
  }

  open() {
    if (this.ended) return;
    const url = new URL("stream", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("protocol", "2");
    const resumes = this.lastId > 0 && Date.now() - this.aliveAt < AWAY;
    if (resumes) url.searchParams.set("after", String(this.lastId));
    const token = this.token();
    let socket;
    try {
      socket = new WebSocket(url, token ? ["vibe", `bearer.${base64url(token)}`] : ["vibe"]);
    } catch {
      this.pause();
      return;
    }
    this.socket = socket;
    this.protocol = 1; // until a hello says more
    this.resumed = resumes;
    this.enter(this.state === "waiting" ? "waiting" : "connecting");
    socket.onmessage = (message) => {
      if (this.socket === socket) this.take(message.data);
    };
    socket.onclose = () => {
      if (this.socket === socket) this.pause();
    };
  }

  pause() {
    this.socket = null;
    if (this.ended) return;
    if (this.state === "live" && performance.now() - this.liveAt > STEADY) this.attempts = 0;
    const longest = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.attempts++);
    const seconds = longest * (0.5 + Math.random() / 2); // many pages shall not come back at once
    this.retryAt = Date.now() + seconds * 1000;
    this.timer = setTimeout(() => this.open(), seconds * 1000);
    this.enter("waiting");
  }

  enter(state) {
    if (state === this.state) return;
    this.state = state;
    if (state === "live") this.liveAt = performance.now();
    this.alive();
    this.tell("state", state);
  }

  take(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return; // a newer server may say what we do not understand
    }
    if (!message || typeof message !== "object") return;
    this.alive();
    if (message.type === "hello") this.greet(message);
    else if (message.type === "initial") this.begin(message);
    else if (message.type === "event" || message.type === "priority_event") this.pass([message.data]);
    else if (message.type === "dropped") this.tell("dropped", message);
    else if (message.type === "ping") this.socket?.send('{"type":"pong"}');
  }

  greet(message) {
    this.protocol = message.protocol ?? 2;
    this.hello = message;
    this.resumed = Boolean(message.resumed);
    this.tell("hello", message);
  }

  /** A server of protocol 1 goes on nowhere: its first batch is a new beginning. */
  begin(message) {
    const before = this.lastId;
    const events = message.data.map(known);
    // What was missed may follow as single events: only what is in here counts as seen then.
    const told = this.resumed ? 0 : (message.last_id ?? 0);
    const newest = events.reduce((id, event) => Math.max(id, event.id), told);
    if (newest < before && !this.resumed) this.lastId = 0; // another ledger: its ids begin anew
    const went = before > 0 && (!this.resumed || this.protocol === 1);
    const more = events.filter((event) => event.id > this.lastId);
    this.lastId = Math.max(this.lastId, newest);
    this.enter("live");
    this.tell("initial", this.resumed ? more : events, {
      resumed: this.resumed && before > 0,
      statistics: message.priority_statistics ?? null,
    });
    if (went && this.protocol > 1) this.tell("gap");
  }

  pass(events) {
    const fresh = events.filter((event) => event && event.id > this.lastId).map(known);
    if (!fresh.length) return;
    this.lastId = fresh.at(-1).id;
    this.enter("live");
    this.tell("events", fresh);
  }
}

/** Old servers tell no priority: the documented kinds have theirs, all others none. */
function known(event) {
  if (typeof event.priority !== "number") event.priority = PRIORITIES[event.hook_event_type] ?? 0;
  return event;
}

function base64url(text) {
  const letters = Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte));
  return btoa(letters.join("")).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
