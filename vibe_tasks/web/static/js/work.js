// Words for jobs and tasks, as the commands use them, and where in the API they are found.

import { h, link, to } from "./dom.js";
import { ago, counted, moment } from "./format.js";

export const STATUSES = ["blocked", "pending", "processing", "completed", "failed", "cancelled"];
export const KINDS = ["dev", "qa", "review", "fix", "deploy", "call", "follow", "event"];
export const PRIORITIES = ["fix", "critical", "high", "normal", "low"];

/** The beginning of a UUID, as commands accept it; other ids stay whole. */
export function shortId(id) {
  const text = String(id ?? "");
  return /^[0-9a-f]{8}-[0-9a-f]{4}-/i.test(text) ? text.slice(0, 8) : text;
}

/** A text in which ids of jobs are as short as elsewhere on the page. */
export function shortIds(text) {
  return String(text ?? "").replace(/\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi, "$1");
}

/** A plan's name from its id, which ends in a number of the run. */
export function planName(id) {
  const text = String(id ?? "");
  const at = text.lastIndexOf("-");
  return at > 0 ? text.slice(0, at) : text;
}

/** What a job does, in few words: of a plan the task, else the function's name. */
export function what(job) {
  if (!job.task_id) return job.name;
  return `${planName(job.plan_id)}/${job.task_id} ${job.kind}${job.kind === "fix" ? ` ${job.round}` : ""}`;
}

/** A priority as a word, whether it is told as a word or as its level. */
export function priorityWord(priority) {
  return typeof priority === "number" ? PRIORITIES[priority] ?? String(priority) : String(priority ?? "–");
}

/** Whether a retry by hand can bring a job back. */
export function mayRetry(job) {
  return Boolean(job.dead_at) || job.status === "failed" || job.status === "cancelled";
}

/** Whether there is something left to cancel. */
export function mayCancel(job) {
  return ["blocked", "pending", "processing"].includes(job.status);
}

/** A link to a job; its text is the beginning of the id unless another is given. */
export function jobLink(id, text = shortId(id)) {
  return link(to("/jobs", id), { class: text === shortId(id) ? "mono" : null, title: String(id) }, text);
}

/** A moment, told as how long ago, with the time itself as its title. */
export function when(at) {
  if (at === null || at === undefined) return "–";
  return h("time", { title: moment(at), datetime: iso(at) }, ago(at));
}

function iso(at) {
  const date = new Date(at * 1000);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}

/** All lines of a text as one, as `vibe dlq list` tells them; the page cuts what does not fit. */
export function oneLine(text, most = 600) {
  const lines = String(text ?? "").slice(0, 4 * most).split("\n").map((line) => line.trim());
  const line = lines.filter(Boolean).join(" · ");
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
}

/** Status and word of a job's badge: a job whose fix rounds are used up is completed, yet dead. */
export function standing(job) {
  return job.dead_at ? ["dead", "dead letter"] : [job.status, null];
}

/** Why a job is a dead letter, as listings of them tell it; of others its error. */
export function lastWords(job) {
  if (job.error || !job.dead_at) return job.error;
  const said = job.result?.summary ?? "";
  if (job.result?.verdict === "undecided") return said;
  return `after ${counted(job.round, "fix round")}: ${said}`;
}
