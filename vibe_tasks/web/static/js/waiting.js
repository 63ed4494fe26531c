// What goes no further without a person: for the page of approvals and for its number in the menu.

import { planName } from "./work.js";

/** {deploys, undecided, budgets} */
export async function whatWaits(api, signal) {
  const [approvals, letters, accounts] = await Promise.all([
    api.get("approvals", { limit: 200 }, { signal }),
    api.get("dlq", { limit: 200 }, { signal }),
    api.get("budgets", { waiting: true, limit: 200 }, { signal }),
  ]);
  return {
    deploys: approvals.items,
    undecided: letters.items.filter(isUndecided),
    budgets: accounts.items.flatMap(({ plan, budgets, waiting }) => budgets.filter((budget) => budget.used_up)
      .map((budget) => ({ plan: { id: plan, name: planName(plan) }, budget, waiting }))),
  };
}

/** The last qa of a task is a dead letter because too few reviewers voted; else its rounds are used up. */
function isUndecided(job) {
  return job.kind === "qa" && job.status === "completed" && !/^after \d+ fix rounds?:/.test(job.error ?? "");
}
