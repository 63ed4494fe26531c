// The HTTP API: tokens, entity tags, and problems in words.

import { serverSays } from "./format.js";

const KEPT = 60; // answers kept for If-None-Match
const LARGEST_KEPT = 200_000; // characters of one that is kept
const ALL_KEPT = 1_500_000; // characters of all that are kept
const PATIENCE = 30_000; // ms for a whole answer
const TOKEN = "vibe.token";

/** What the server did not do, and why: a problem+json answer, or no answer at all. */
export class Problem extends Error {
  /** @param {{status: number, title?: string, detail?: string, errors?: Array}} values */
  constructor(values) {
    super(values.detail || values.title || `the server answered ${values.status}`);
    this.name = "Problem";
    this.status = values.status; // 0: no answer
    this.title = values.title ?? "";
    this.errors = values.errors ?? [];
  }
}

/** The API below this page's own address; no other address is ever asked. */
export class Api {
  /** @param {(refused: boolean) => Promise<string|null>} askToken  opens the dialog; null: given up */
  constructor(askToken) {
    this.askToken = askToken;
    this.base = new URL("api/v1/", document.baseURI);
    this.kept = new Map(); // url -> {etag, value, size}, least recently used first
    this.keptSize = 0;
    this.asking = null;
    this.declined = undefined; // the token for which nobody wanted to give another
    this.whenToken = () => {};
  }

  get token() {
    return session("getItem", TOKEN);
  }

  /** The JSON of a GET; `query` leaves out null, undefined and "" and repeats lists. */
  get(path, query, options) {
    return this.send("GET", path, { query, ...options });
  }

  /** The text of a GET, for a diff. */
  text(path, query, options) {
    return this.send("GET", path, { query, text: true, ...options });
  }

  post(path, body, options) {
    return this.send("POST", path, { body: body ?? {}, ...options });
  }

  put(path, body, options) {
    return this.send("PUT", path, { body: body ?? {}, ...options });
  }

  delete(path, query, options) {
    return this.send("DELETE", path, { query, ...options });
  }

  /** All pages of a listing, at most `most` items: an async generator over items. */
  async *all(path, query, { most = 1000, signal } = {}) {
    let cursor = null;
    let given = 0;
    do {
      const found = await this.get(path, { limit: 200, ...query, cursor }, { signal });
      for (const item of found.items) {
        if (given++ >= most) return;
        yield item;
      }
      cursor = found.next;
    } while (cursor);
  }

  url(path, query) {
    const url = new URL(path.replace(/^\//, ""), this.base);
    for (const [name, value] of Object.entries(query ?? {})) {
      for (const each of [value].flat()) {
        if (each !== null && each !== undefined && each !== "") url.searchParams.append(name, each);
      }
    }
    return url;
  }

  async send(method, path, { query, body, text = false, signal } = {}) {
    const url = this.url(path, query);
    for (;;) {
      const used = this.token;
      const known = method === "GET" ? this.kept.get(url.href) : undefined;
      const answer = await this.fetch(method, url, { body, text, signal, known });
      serverSays(answer.headers.get("Date"));
      if (answer.status !== 401) return this.read(answer, url, { method, text, known });
      // Looks come by themselves every few seconds: who has closed the dialog is not asked by them.
      const asks = method !== "GET" || this.declined !== used;
      if (!asks || !(await this.renew(used))) throw await problem(answer);
    }
  }

  async fetch(method, url, { body, text, signal, known }) {
    const headers = { Accept: text ? "text/plain, application/json" : "application/json" };
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (known) headers["If-None-Match"] = known.etag;
    const limit = AbortSignal.timeout(PATIENCE);
    try {
      return await fetch(url, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
        cache: "no-store", // the entity tags are ours
        credentials: "same-origin",
        redirect: "error",
      });
    } catch (error) {
      throw unanswered(error);
    }
  }

  async read(answer, url, { method, text, known }) {
    if (answer.status === 304) {
      this.keep(url.href, known);
      return known.value;
    }
    if (!answer.ok) throw await problem(answer);
    if (answer.status === 204) return null;
    const content = await answer.text().catch((error) => {
      throw unanswered(error);
    });
    let value = content;
    if (!text) {
      try {
        value = content ? JSON.parse(content) : null;
      } catch {
        throw new Problem({ status: answer.status, detail: "the server's answer is no JSON" });
      }
    }
    const etag = answer.headers.get("ETag");
    if (method === "GET" && etag && content.length <= LARGEST_KEPT) {
      this.keep(url.href, { etag, value, size: content.length });
    }
    return value;
  }

  keep(href, entry) {
    this.forget(href);
    this.kept.set(href, entry);
    this.keptSize += entry.size;
    while (this.kept.size > KEPT || this.keptSize > ALL_KEPT) this.forget(this.kept.keys().next().value);
  }

  forget(href) {
    this.keptSize -= this.kept.get(href)?.size ?? 0;
    this.kept.delete(href);
  }

  /** Ask for a token once, however many requests wait; whether there is a new one. */
  async renew(refused) {
    if (this.token !== refused) return true; // another request has asked meanwhile
    this.asking ??= this.askToken(Boolean(refused)).finally(() => {
      this.asking = null;
    });
    const token = await this.asking;
    this.declined = token ? undefined : refused;
    if (!token) return false;
    if (this.token !== token) {
      session("setItem", TOKEN, token);
      this.whenToken();
    }
    return true;
  }
}

/** What went wrong with a request; an AbortError stays one: the page has gone on. */
function unanswered(error) {
  if (error.name === "AbortError") return error;
  const late = error.name === "TimeoutError";
  const detail = late ? `the server did not answer within ${PATIENCE / 1000} s` : "the server cannot be reached";
  return new Problem({ status: 0, title: "No answer", detail });
}

async function problem(answer) {
  const values = { status: answer.status, title: answer.statusText };
  try {
    const told = await answer.json();
    if (told && typeof told === "object") {
      if (typeof told.title === "string") values.title = told.title;
      const detail = told.detail ?? told.error;
      if (typeof detail === "string") values.detail = detail;
      if (Array.isArray(told.errors)) values.errors = told.errors;
    }
  } catch {
    // not of our making, perhaps a proxy's page: the status says enough
  }
  return new Problem(values);
}

const memory = new Map();

function session(method, name, value) {
  try {
    return sessionStorage[method](name, value);
  } catch {
    if (method === "setItem") memory.set(name, value); // storage is forbidden: for this page alone
    return memory.get(name) ?? null;
  }
}
