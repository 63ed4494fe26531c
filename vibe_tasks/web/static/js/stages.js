// Where a plan's tasks stand, in words and columns; as `vibe run` tells it on a terminal. Pure.

import { span } from "./format.js";

/** Columns of the board: [key, heading]. */
export const COLUMNS = [
  ["waiting", "Waiting"], ["dev", "Dev"], ["qa", "QA"], ["fix", "Fix"], ["deploy", "Deploy"],
  ["deployed", "Deployed"], ["stopped", "Dead or blocked"],
];
const STOPPED = new Set(["dead", "blocked", "cancelled"]);

/** The column of a task. */
export function columnOf(task) {
  if (task.status === "deployed" || task.status === "waiting") return task.status;
  if (STOPPED.has(task.status)) return "stopped";
  if (task.kind === "review") return "qa";
  return ["dev", "qa", "fix", "deploy"].includes(task.kind) ? task.kind : "waiting";
}

/** The status whose looks a task has: its own, or while it runs that of its job. */
export function statusOf(task) {
  if (task.status !== "running") return task.status;
  if (task.job_status === "blocked") return "held"; // a person is asked
  return task.job_status === "processing" ? "running" : "pending";
}

/** Where the task is on its way. */
export function stageOf(task) {
  if (task.status !== "running") return task.status;
  if (task.job_status === "blocked") return task.kind === "deploy" ? "approval" : "waits for you";
  if (task.kind === "review" && task.seats) return `review, ${task.votes ?? 0} of ${task.seats} voted`;
  const words = task.kind === "fix" ? `fix ${task.fix_round}` : String(task.kind ?? "queued");
  return task.attempt > 1 ? `${words}, attempt ${task.attempt}` : words;
}

/** How long its attempt has run, or has to wait; `since`: seconds since the figures were read. */
export function timingOf(task, since = 0) {
  if (task.status !== "running") return "";
  if (task.job_status === "processing") return span((task.elapsed ?? 0) + since);
  if (task.wait !== null && task.wait !== undefined) return `again in ${span(Math.max(0, task.wait - since))}`;
  return task.job_status === "blocked" ? "" : "queued";
}

/** The error that it met, and nothing where all is well. */
export function troubleOf(task) {
  return task.error || (task.status === "running" ? task.job_error : null) || "";
}

/** What is still to be done of it, for the longest chain. */
export function leftOf(task) {
  return task.status === "deployed" || task.status === "cancelled" ? 0 : task.effort ?? 1;
}
