// Parts of a job's page that are loaded by themselves: its log, its change, its way to a worker.

import { h, put } from "./dom.js";
import { diffView } from "./diff.js";
import { logView } from "./job_log.js";
import { card, skeleton } from "./parts.js";

const WORK = new Set(["dev", "fix", "qa", "review", "deploy"]);
const PAUSE = 1500; // milliseconds between two looks at the log of a job that runs
const MOST = 500; // lines in one look

/** The log of one attempt, which grows while it runs. */
export function logCard(context, path) {
  const view = logView();
  const choice = h("select", { "aria-label": "Attempt whose log is shown" });
  const element = card("Log", { aside: choice }, view.element);
  const state = { job: null, attempt: null, chosen: false, after: null, timer: null, busy: false };
  const begin = (attempt) => {
    state.attempt = attempt;
    state.after = null;
    view.clear();
    look();
  };
  const look = async () => {
    clearTimeout(state.timer);
    if (state.busy || !state.attempt || context.signal.aborted) return;
    state.busy = true;
    const { attempt } = state;
    let more = false;
    try {
      const found = await context.api.get(`${path}/log`, { attempt, after: state.after, limit: MOST }, { signal: context.signal });
      if (attempt === state.attempt) more = take(found);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      view.none(`The log cannot be shown: ${problem.message}`);
    } finally {
      state.busy = false;
    }
    const runs = state.job.status === "processing" && state.attempt === state.job.attempt;
    if (more || attempt !== state.attempt) look();
    else if (runs) state.timer = setTimeout(look, PAUSE);
  };
  const take = (found) => {
    view.add(found.items);
    if (!found.items.length) return false;
    state.after = found.items.at(-1).seq;
    return found.next !== null;
  };
  choice.addEventListener("change", () => {
    state.chosen = Number(choice.value) !== state.job.attempt;
    begin(Number(choice.value));
  });
  context.signal.addEventListener("abort", () => clearTimeout(state.timer));
  return {
    element,
    show(job) {
      const before = state.job;
      state.job = job;
      element.hidden = !job.attempt;
      if (!job.attempt) return;
      if (choice.options.length !== job.attempt) {
        put(choice, Array.from({ length: job.attempt }, (_, at) => h("option", { value: job.attempt - at }, `attempt ${job.attempt - at}`)));
        choice.value = state.chosen ? state.attempt : job.attempt;
        choice.hidden = job.attempt < 2;
      }
      if (!state.chosen && state.attempt !== job.attempt) begin(job.attempt);
      else if (before && before.status !== job.status) look();
    },
  };
}

/** What the job's commit changes. */
export function changeCard(context, path) {
  const body = h("div", {});
  const element = card("Change", {}, body);
  let shown = null;
  return {
    element,
    async show(job) {
      const commit = job.result?.commit ?? job.args?.kwargs?.commit ?? null;
      element.hidden = !WORK.has(job.kind) || !commit;
      if (element.hidden || shown === commit) return;
      shown = commit;
      put(body, skeleton(4));
      try {
        const found = await context.api.get(`${path}/diff`, {}, { signal: context.signal });
        if (shown === commit) put(body, h("p", { class: "hint mono break" }, `${found.base || "nothing"} … ${found.commit}`), diffView(found.diff, found));
      } catch (problem) {
        if (problem.name === "AbortError" || shown !== commit) return;
        if (!problem.status || problem.status >= 500) shown = null; // the next look may have it
        put(body, h("p", { class: "hint" }, `The change cannot be shown: ${problem.message}`));
      }
    },
  };
}

/** Which worker the job is for, and why. */
export function routingCard(context, path) {
  const body = h("div", {}, skeleton(3));
  const element = card("Way to a worker", {}, body);
  let shown = "";
  return {
    element,
    async show(job) {
      const stamp = `${job.status} ${job.attempt} ${job.waits}`;
      if (stamp === shown) return;
      shown = stamp;
      try {
        const found = await context.api.get(`${path}/explanation`, {}, { signal: context.signal });
        if (shown === stamp) showRouting(body, found);
      } catch (problem) {
        if (problem.name === "AbortError" || shown !== stamp) return;
        if (!problem.status || problem.status >= 500) shown = "";
        put(body, h("p", { class: "hint" }, `It cannot be told: ${problem.message}`));
      }
    },
  };
}

function showRouting(place, told) {
  const { decision } = told;
  const asks = [
    told.required?.length ? `a worker with ${told.required.join(", ")}` : null,
    ...Object.entries(told.labels ?? {}).map(([label, points]) => `${points > 0 ? "+" : ""}${points} for ${label}`),
  ].filter(Boolean);
  const lines = [
    told.waits ? `It waits ${told.waits}.` : null,
    told.worker ? `${told.waits ? "It was last" : "It ran"} on ${told.worker}.` : null,
    asks.length ? `It asks for ${asks.join("; ")}.` : null,
    decision ? `Decided ${told.decided}: ${decision.choice ?? "for whoever is free first"} (${decision.why}).` : "Nothing was decided: its lane has one line for all workers.",
  ].filter(Boolean);
  put(place, lines.map((line) => h("p", { class: "break" }, line)),
    decision?.candidates?.length ? candidates(decision) : null,
    told.others?.length ? h("ul", { class: "others" }, told.others.map((each) =>
      h("li", { class: "break" }, h("span", { class: "mono" }, each.worker), `: ${each.why}`))) : null);
}

function candidates(decision) {
  const terms = [...new Set(decision.candidates.flatMap((each) => Object.keys(each.terms ?? {})))];
  return h("table", { class: "folds" },
    h("thead", {}, h("tr", {}, ["Candidate", "Score", ...terms].map((name, at) => h("th", { scope: "col", class: at ? "number" : null }, name)))),
    h("tbody", {}, decision.candidates.map((each) => h("tr", { class: each.worker === decision.choice ? "chosen" : null },
      h("td", { class: "lead mono" }, each.worker),
      h("td", { class: "number", data: { label: "Score" } }, number(each.score)),
      terms.map((name) => h("td", { class: "number", data: { label: name } }, number(each.terms?.[name])))))));
}

function number(value) {
  return typeof value === "number" ? String(Math.round(value * 1000) / 1000) : "";
}
