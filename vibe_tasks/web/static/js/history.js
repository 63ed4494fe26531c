// A job's history as stretches of time and as attempts. Pure.

/**
 * What the job was from when to when.
 * @param {{status: string, from_status: string|null, attempt: number, worker_id: string|null,
 *   timestamp: number, details: string|null}[]} history  oldest first
 * @param {number} now  epoch seconds; where the last stretch of a job that has not ended ends
 * @returns {{status: string, attempt: number, worker: string|null, from: number, to: number,
 *   open: boolean, details: string|null}[]}
 */
export function stretches(history, now) {
  return history.map((move, at) => {
    const next = history[at + 1];
    const open = !next && !ENDED.has(move.status);
    const to = next ? next.timestamp : open ? Math.max(now, move.timestamp) : move.timestamp;
    return { status: move.status, attempt: move.attempt, worker: move.worker_id,
      from: move.timestamp, to, open, details: move.details };
  });
}

const ENDED = new Set(["completed", "failed", "cancelled"]);

/**
 * The attempts, oldest first, each with how it ended.
 * @returns {{number: number, worker: string|null, from: number, to: number|null, outcome: string,
 *   error: string|null}[]}  outcome: running, completed, failed, cancelled, again, put off
 */
export function attemptsOf(history) {
  const attempts = [];
  let running = null;
  for (const move of history) {
    if (running && move.from_status === "processing") {
      running.to = move.timestamp;
      running.outcome = OUTCOMES[move.status] ?? move.status;
      running.error = move.details || null;
      running = null;
    }
    if (move.status === "processing") {
      running = { number: move.attempt, worker: move.worker_id, from: move.timestamp, to: null,
        outcome: "running", error: null };
      attempts.push(running);
    }
  }
  return attempts;
}

const OUTCOMES = { pending: "again", blocked: "put off" };
