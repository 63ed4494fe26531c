// The newest plans on the overview: how far each is, what it has cost, and what of its budget is
// left.

import { h, keyed, link, put, say, to } from "../dom.js";
import { ago, count, counted, money } from "../format.js";
import { badge, card, empty, failed, meter, rebadge, remeter, skeleton } from "../parts.js";

const SHOWN = 6;
const WAKES = /^(JOB_|TASK_|PLAN_|DEPLOYED|FILE_|QA_|BUDGET_|ROLLED_)/;

/** @param {(waiting: Array<{plan, jobs, why}>) => void} tellWaiting  jobs that a budget has stopped */
export function plansCard(context, tellWaiting) {
  const list = h("ul", { class: "rows" });
  const rest = h("div", {}, skeleton(4));
  const cost = h("p", { class: "muted small plans-cost" });
  const element = card("Plans and cost", { aside: link("/plans", {}, "All plans") }, list, rest, cost);
  const looks = context.live({
    async load(signal) {
      const [{ items }, accounts] = await Promise.all([
        context.api.get("plans", { limit: SHOWN }, { signal }),
        context.api.get("budgets", { limit: SHOWN }, { signal }).catch((problem) => {
          if (problem.name === "AbortError") throw problem;
          return { items: [] }; // the plans are shown without
        }),
      ]);
      const used = new Map(accounts.items.map((account) => [account.plan, account]));
      return items.map((plan) => ({ ...plan, account: used.get(plan.id) ?? null }));
    },
    show(plans) {
      put(rest, plans.length ? null : empty("No plan yet", [h("code", {}, "vibe submit PLAN"), " brings one in."], "plans"));
      keyed(list, plans, (plan) => plan.id, planRow, updatePlan);
      const sum = (name) => plans.reduce((total, { account }) => total + (account?.used[name] ?? 0), 0);
      const tokens = sum("input_tokens") + sum("output_tokens");
      say(cost, plans.length ? `These used ${money(sum("usd"))} and ${count(tokens)} tokens.` : "");
      tellWaiting(plans.filter(({ account }) => account?.waiting.length).map(({ id, account }) =>
        ({ plan: id, jobs: account.waiting.length, why: account.waiting[0].why })));
    },
    fail: (problem) => failed(rest, problem, () => looks.refresh()),
    seconds: 15,
    wakes: (event) => WAKES.test(event.hook_event_type),
  });
  return { element };
}

function planRow(plan) {
  return h("li", {}, h("a", { class: "row", href: to("/plans", plan.id) },
    h("span", { class: "row-main" }, h("span", { class: "clip" }, plan.id), badge(plan.status)),
    h("span", { class: "row-line" }), meter(0, 1)));
}

function updatePlan(row, plan) {
  rebadge(row.querySelector(".badge"), plan.status);
  const all = Object.values(plan.tasks ?? {}).reduce((total, each) => total + (Number(each) || 0), 0);
  const used = plan.account?.used;
  const limit = plan.account?.budgets.find(({ scope }) => scope === "plan")?.limit.usd ?? null;
  const spent = used ? `${money(used.usd)}${limit ? ` of ${money(limit)}` : ""}` : null;
  const parts = [all ? `${plan.tasks.deployed ?? 0} of ${counted(all, "task")} deployed` : null, spent, ago(plan.created_at)];
  say(row.querySelector(".row-line"), parts.filter(Boolean).join(" · "));
  const bar = row.querySelector(".meter");
  bar.hidden = !limit;
  if (limit) remeter(bar, used.usd, limit, { label: `Budget of ${plan.id}`, kind: used.usd >= limit ? "bad" : used.usd > 0.8 * limit ? "wait" : "busy" });
}
