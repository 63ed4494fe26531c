// One job: what it is, its attempts and their errors, its history, log, change, and its way to a worker.

import { h, keyed, link, put, say, to } from "../dom.js";
import { cut, now, span } from "../format.js";
import { attemptsOf } from "../history.js";
import { changeCard, logCard, routingCard } from "../job_cards.js";
import { badge, card, empty, failed, rebadge, skeleton } from "../parts.js";
import { timeline } from "../timeline.js";
import { harmless } from "../diff.js";
import { jobLink, lastWords, mayCancel, mayRetry, priorityWord, standing, what, when } from "../work.js";

const ENDED = new Set(["completed", "failed", "cancelled"]);
const IDLE = 20_000; // milliseconds between two looks at a job that has ended

export function page(context) {
  const { id } = context.params;
  const path = `jobs/${encodeURIComponent(id)}`;
  const state = { job: null, at: 0, woken: true };
  const place = h("div", {}, skeleton(8));
  const parts = makeParts(context, path);
  const look = context.live({
    async load(signal) {
      const idle = state.job && ENDED.has(state.job.status) && performance.now() - state.at < IDLE;
      if (idle && !state.woken) return state.job;
      state.woken = false;
      return context.api.get(path, {}, { signal });
    },
    show(job) {
      if (job !== state.job) state.at = performance.now();
      state.job = job;
      if (!parts.element.isConnected) put(place, parts.element);
      context.title(what(job));
      parts.show(job);
    },
    fail(problem) {
      if (state.job) return;
      if (problem.status !== 404) failed(place, problem, () => look.refresh());
      else if (!place.querySelector(".empty")) put(place, missing(id)); // a focus in it stays
    },
    seconds: 2,
    wakes(event) {
      const job = state.job;
      const mine = !job || event.session_id === job.id || event.session_id === job.plan_id || event.payload?.job_id === job.id;
      state.woken ||= mine;
      return mine;
    },
  });
  const again = () => { state.woken = true; return look.refresh(); };
  parts.retry.addEventListener("click", () => retry(context, path, state.job, again));
  parts.cancel.addEventListener("click", () => cancel(context, path, state.job, again));
  context.key("r", "Retry the job", () => mayRetry(state.job ?? {}) && parts.retry.click());
  return { element: place };
}

function missing(id) {
  return h("div", { class: "card" }, h("h1", { class: "unseen" }, "Job"),
    empty(`There is no job ${cut(id, 60)}`, link("/jobs", {}, "All jobs"), "jobs"));
}

function makeParts(context, path) {
  const title = h("h1", { class: "break" });
  const state = badge("pending");
  const about = h("p", { class: "page-line break" });
  const line = h("p", { class: "page-line mono break" });
  const retryButton = h("button", { type: "button", class: "primary" }, "Retry");
  const cancelButton = h("button", { type: "button", class: "danger" }, "Cancel");
  const error = h("div", { class: "job-error", role: "note" });
  const facts = h("dl", { class: "facts" });
  const attempts = h("ol", { class: "attempts" });
  const noAttempts = h("p", { class: "hint" }, "It has not been started yet.");
  const bars = timeline();
  const reviews = h("ul", { class: "reviews" });
  const reviewsCard = card("Reviews", {}, reviews);
  const log = logCard(context, path);
  const change = changeCard(context, path);
  const routing = routingCard(context, path);
  const values = h("div", { class: "values" });
  const element = h("div", { class: "stack job-page" },
    h("div", { class: "page-head" }, h("div", {}, h("div", { class: "title-line" }, title, state), about, line),
      h("div", { class: "actions" }, retryButton, cancelButton)),
    error,
    h("div", { class: "grid" },
      card("Job", { class: "third" }, facts),
      h("div", { class: "stack two-thirds" }, card("Attempts", {}, noAttempts, attempts), card("Timeline", {}, bars.element))),
    reviewsCard, log.element, change.element, routing.element, card("What it was given, and what came of it", {}, values));
  return {
    element, retry: retryButton, cancel: cancelButton,
    show(job) {
      say(title, what(job));
      rebadge(state, ...standing(job));
      say(about, job.task?.title);
      about.hidden = !job.task?.title;
      say(line, job.id);
      retryButton.hidden = !mayRetry(job);
      cancelButton.hidden = !mayCancel(job);
      showError(error, job);
      showFacts(facts, job);
      const found = judged(attemptsOf(job.history ?? []), job);
      noAttempts.hidden = found.length > 0;
      keyed(attempts, [...found].reverse(), (each) => `${each.number} ${each.from}`, attemptRow, updateAttempt);
      bars.show(job.history ?? [], now());
      reviewsCard.hidden = !job.reviews?.length;
      keyed(reviews, job.reviews ?? [], (seat) => seat.seat, () => h("li", {}), showReview);
      log.show(job);
      change.show(job);
      routing.show(job);
      showValues(values, job);
    },
  };
}

function showFacts(place, job) {
  const facts = [
    ["Plan", job.plan_id && link(to("/plans", job.plan_id), {}, job.plan_id)],
    ["Task", job.task_id],
    ["Kind", job.kind],
    ["Agent", job.args?.kwargs?.agent ?? job.task?.agent],
    ["Lane", link(to("/jobs", undefined, { lane: job.lane }), {}, job.lane)],
    ["Priority", `${priorityWord(job.priority)}${job.effort ? `, effort ${job.effort}` : ""}`],
    ["Attempts", `${job.attempt}, failures ${job.retry_count} of ${job.max_retries}`],
    ["Waits", job.waits],
    ["Worker", job.worker && h("span", { class: "mono" }, job.worker)],
    ["Created", when(job.created_at)],
    ["Changed", when(job.status_updated_at)],
    ["Trace", job.trace && h("span", { class: "mono" }, String(job.trace).split("-")[1] ?? job.trace)],
  ];
  keyed(place, facts.filter(([, value]) => value), ([name]) => name,
    ([name]) => h("div", {}, h("dt", {}, name), h("dd", { class: "break" })),
    (element, [, value]) => {
      const there = element.lastElementChild;
      if (there.textContent !== (value.textContent ?? String(value))) put(there, value);
    });
}

const OUTCOMES = {
  again: ["pending", "not done, tried again"], "put off": ["blocked", "put off"],
  fail: ["failed", "refused"], undecided: ["blocked", "undecided"],
};

/** The attempts; the one that gave a verdict other than a pass is called by it. */
function judged(attempts, job) {
  const last = attempts.at(-1);
  const verdict = job.result?.verdict;
  if (last?.outcome === "completed" && ["qa", "review"].includes(job.kind) && verdict in OUTCOMES) last.outcome = verdict;
  return attempts;
}

function showError(place, job) {
  const words = lastWords(job);
  const name = job.dead_at ? "Dead letter" : job.status === "completed" ? "It said" : "Error";
  const stamp = words && `${name} ${words}`;
  place.hidden = !words;
  if (place.vibeText === stamp) return; // made anew every two seconds, nobody could mark and copy it
  place.vibeText = stamp;
  put(place, words ? [h("strong", {}, name), h("pre", { class: "break" }, harmless(words))] : null);
}

function attemptRow() {
  return h("li", { class: "attempt" }, h("div", { class: "attempt-line" }, h("strong", {}), badge("running"), h("span", { class: "muted" })), h("pre", { class: "break" }));
}

function updateAttempt(element, attempt) {
  const [line, error] = element.children;
  const [name, state, words] = line.children;
  say(name, `Attempt ${attempt.number}`);
  const [status, word] = OUTCOMES[attempt.outcome] ?? [attempt.outcome, null];
  rebadge(state, attempt.outcome === "again" ? "failed" : status, word);
  const took = span((attempt.to ?? now()) - attempt.from);
  say(words, [attempt.to ? `took ${took}` : `for ${took}`, attempt.worker && `on ${attempt.worker}`].filter(Boolean).join(" "));
  error.hidden = !attempt.error;
  if (error.dataset.text !== String(attempt.error)) {
    error.dataset.text = String(attempt.error);
    put(error, attempt.error ? harmless(attempt.error) : null);
  }
}

function showReview(element, seat) {
  const stamp = `${seat.agent} ${seat.verdict} ${seat.why} ${seat.job_id}`;
  if (element.vibeStamp === stamp) return;
  element.vibeStamp = stamp;
  put(element, h("span", {}, `${seat.seat}. ${seat.agent}`), badge(VERDICTS[seat.verdict] ?? "waiting", seat.verdict ?? seat.why), jobLink(seat.job_id, "its job"));
}

const VERDICTS = { pass: "passed", fail: "failed" };

/** Long values are folded; each is made once, and again where it has changed. */
function showValues(place, job) {
  const kwargs = job.args?.kwargs ?? {};
  const values = [
    ["Prompt", job.task?.prompt ?? (typeof kwargs.prompt === "string" ? kwargs.prompt : null), true],
    ["Summary", typeof job.result?.summary === "string" ? job.result.summary : null, true],
    ["Arguments", text(job.args), false],
    ["Result", text(job.result), false],
  ].filter(([, value]) => value);
  keyed(place, values, ([name]) => name,
    ([name, , open]) => h("details", { open }, h("summary", {}, name), h("pre", { class: "break" })),
    (element, [, value]) => {
      const shown = element.lastElementChild;
      if (shown.textContent !== value && element.vibeText !== value) {
        element.vibeText = value;
        put(shown, harmless(value));
      }
    });
}

function text(value) {
  return value === null || value === undefined ? null : JSON.stringify(value, null, 2);
}

async function retry(context, path, job, again) {
  await context.attempt(() => context.api.post(`${path}/retry`, {}, { signal: context.signal }), `${what(job)} is tried again`);
  again();
}

async function cancel(context, path, job, again) {
  const reason = await context.ask({
    title: `Cancel ${what(job)}?`, danger: true, action: "Cancel the job",
    body: job.plan_id ? "The task of the plan ends with it, and the tasks that need it are blocked." : "A running attempt may not write its result any more.",
    input: { label: "Reason", value: "cancelled by hand", required: true },
  });
  if (reason === null) return;
  await context.attempt(() => context.api.post(`${path}/cancel`, { reason }, { signal: context.signal }), "The job is cancelled");
  again();
}
