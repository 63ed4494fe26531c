// A plan as its page shows it, from what the API tells.

const PAUSE = 15_000; // milliseconds between two looks at budgets and branch of a plan that runs

/** Loads one plan; budgets and where its branch stands less often than the rest: they are dear. */
export class PlanData {
  constructor(api, id) {
    this.api = api;
    this.path = `plans/${encodeURIComponent(id)}`;
    this.budgets = [];
    this.commit = null;
    this.looked = -Infinity;
  }

  async load(signal, woken = false) {
    const due = woken || performance.now() - this.looked > PAUSE;
    const [plan, budget] = await Promise.all([
      this.api.get(this.path, { branch: due ? null : "false" }, { signal }),
      due ? this.api.get(`${this.path}/budget`, {}, { signal }).catch(notWithout) : null,
    ]);
    if (due) {
      this.commit = plan.commit;
      this.budgets = budget?.budgets ?? this.budgets;
      this.looked = performance.now();
    }
    return { ...planOf(plan, this.budgets), commit: this.commit };
  }
}

function notWithout(problem) {
  if (problem.name === "AbortError") throw problem;
  return null; // the page is worth showing without its budgets
}

function planOf(plan, budgets) {
  const tasks = plan.tasks.map(taskOf);
  const counts = {};
  for (const { status } of tasks) counts[status] = (counts[status] ?? 0) + 1;
  return { ...plan, name: plan.plan, status: plan.status ?? plan.outcome, tasks, counts, budgets };
}

function taskOf(task) {
  const job = task.job ?? {};
  return {
    ...task, status: task.outcome, fix_round: task.fix_rounds,
    job_id: job.id ?? null, kind: job.kind ?? null, job_status: job.status ?? null,
    attempt: job.attempt ?? 0, elapsed: job.elapsed ?? null, wait: job.wait ?? null,
    job_error: job.error ?? null, seats: job.seats ?? null, votes: job.votes ?? null,
  };
}

/** Whether it can change by itself. */
export function mayStillChange(plan) {
  return plan.status === "running";
}
