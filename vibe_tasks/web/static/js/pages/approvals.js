// What waits for a person: deploys with the exact commit and its change, QA that reviewers left
// undecided, and budgets that are used up.

import { diffView } from "../diff.js";
import { h, keyed, link, put, say, to } from "../dom.js";
import { count, counted, money } from "../format.js";
import { badge, card, empty, failed, failure, head, skeleton } from "../parts.js";
import { whatWaits } from "../waiting.js";
import { jobLink, planName } from "../work.js";

const WAKES = /^(APPROVAL_|DEPLOYED|PLAN_|TASK_|QA_|BUDGET_|ROLLED_|JOB_)/;

export function page(context) {
  const deploys = deployCard(context);
  const undecided = undecidedCard(context);
  const budgets = budgetCard(context);
  const calm = h("div", { class: "card", hidden: true }, empty("Nothing waits for you", ["Deploys with ", h("code", {}, "approval: manual"), ", QA without a majority and used-up budgets come here."], "done"));
  const waiting = h("div", { class: "card" }, skeleton(5));
  const trouble = h("div", {});
  const look = context.live({
    load: (signal) => whatWaits(context.api, signal),
    show(found) {
      waiting.remove();
      put(trouble);
      deploys.show(found.deploys);
      undecided.show(found.undecided);
      budgets.show(found.budgets);
      calm.hidden = found.deploys.length + found.undecided.length + found.budgets.length > 0;
    },
    fail: (problem) => { waiting.remove(); failed(trouble, problem, () => look.refresh()); },
    seconds: 10,
    wakes: (event) => WAKES.test(event.hook_event_type),
  });
  for (const part of [deploys, undecided, budgets]) part.again = () => look.refresh();
  return { element: h("div", {}, head("Approvals", { line: "What goes no further without you." }),
    trouble, h("div", { class: "stack" }, waiting, calm, deploys.element, undecided.element, budgets.element)) };
}

function deployCard(context) {
  const list = h("ul", { class: "approvals" });
  const part = { again() {}, element: card("Deploys", {}, h("p", { class: "hint" }, "What you approve is exactly the commit that is shown."), list) };
  part.show = (items) => {
    part.element.hidden = !items.length;
    keyed(list, items, (each) => each.job_id, (each) => deployRow(context, each, part), () => {});
  };
  return part;
}

function deployRow(context, deploy, part) {
  const plan = deploy.plan_id;
  const change = h("div", { class: "change" });
  const details = h("details", {}, h("summary", {}, "Look at the change"), change);
  details.addEventListener("toggle", () => { if (details.open) showChange(context, deploy, change); }, { once: true });
  const approve = h("button", { type: "button", class: "primary" }, "Approve");
  const reject = h("button", { type: "button", class: "danger" }, "Reject");
  const label = `${deploy.task_id} of ${deploy.plan}`;
  approve.setAttribute("aria-label", `Approve ${label}`);
  reject.setAttribute("aria-label", `Reject ${label}`);
  approve.addEventListener("click", async () => {
    const sure = await context.ask({ title: `Deploy ${label}?`, action: "Approve",
      body: h("p", {}, "Commit ", h("span", { class: "mono" }, String(deploy.commit).slice(0, 12)), ` is merged into the plan's branch: ${deploy.title}`) });
    if (!sure) return;
    await context.attempt(() => context.api.post(`plans/${encodeURIComponent(plan)}/approve`, { jobs: [deploy.job_id] }, { signal: context.signal }), `${label} goes on`);
    part.again();
  });
  reject.addEventListener("click", async () => {
    const reason = await context.ask({ title: `Reject ${label}?`, action: "Reject", danger: true,
      body: "The deploy is cancelled and its task with it; tasks that need it are blocked. It can be retried later.",
      input: { label: "Reason", value: "rejected by hand", required: true } });
    if (reason === null) return;
    await context.attempt(() => context.api.post(`jobs/${encodeURIComponent(deploy.job_id)}/cancel`, { reason }, { signal: context.signal }), `${label} is rejected`);
    part.again();
  });
  return h("li", { class: "approval", data: { job: deploy.job_id } },
    h("div", { class: "approval-head" },
      h("div", {}, h("h3", { class: "break" }, deploy.title), h("p", { class: "page-line break" }, link(to("/plans", plan), {}, deploy.plan), ` / ${deploy.task_id} · commit `,
        h("span", { class: "mono" }, String(deploy.commit).slice(0, 12)), " · job ", jobLink(deploy.job_id))),
      h("div", { class: "actions" }, approve, reject)),
    details);
}

async function showChange(context, deploy, place) {
  put(place, skeleton(4));
  try {
    const asked = { diff: true, task: deploy.task_id };
    const found = await context.api.get(`plans/${encodeURIComponent(deploy.plan_id)}/approvals`, asked, { signal: context.signal });
    const mine = found.waiting.find((each) => each.job_id === deploy.job_id);
    if (!mine) put(place, h("p", { class: "hint" }, "It does not wait any more."));
    else if (mine.diff === null || mine.diff === undefined) put(place, h("p", { class: "hint" }, `The change cannot be shown here: ${mine.unavailable ?? "unknown"}`));
    else put(place, h("p", { class: "hint mono break" }, `${mine.base || "nothing"} … ${mine.commit}`), diffView(mine.diff, { cut: mine.cut }));
  } catch (problem) {
    if (problem.name !== "AbortError") put(place, failure(problem));
  }
}

function undecidedCard(context) {
  const list = h("ul", { class: "approvals" });
  const part = { again() {}, element: card("QA without a decision", {}, h("p", { class: "hint" }, "Too few reviewers voted. They can be asked again; the change is on the job's page."), list) };
  part.show = (items) => {
    part.element.hidden = !items.length;
    keyed(list, items, (job) => job.id, (job) => undecidedRow(context, job, part), () => {});
  };
  return part;
}

function undecidedRow(context, job, part) {
  const name = `${planName(job.plan_id)}/${job.task_id}`;
  const act = (path, said) => async () => {
    await context.attempt(() => context.api.post(path, { ids: [job.id] }, { signal: context.signal }), said);
    part.again();
  };
  return h("li", { class: "approval" },
    h("div", { class: "approval-head" },
      h("div", {}, h("h3", { class: "break" }, name, " ", badge("blocked", "undecided")), h("p", { class: "page-line break" }, job.error ?? "", " · ", jobLink(job.id, "look at it"))),
      h("div", { class: "actions" },
        h("button", { type: "button", class: "primary", "aria-label": `Ask again about ${name}`, onclick: act("dlq/retry", "The reviewers are asked again") }, "Ask again"),
        h("button", { type: "button", class: "danger", "aria-label": `Discard ${name}`, onclick: act("dlq/discard", `${name} is discarded`) }, "Discard"))));
}

const UNITS = { usd: "USD", tokens: "tokens", seconds: "seconds" };

function budgetCard(context) {
  const list = h("ul", { class: "approvals" });
  const part = { again() {}, element: card("Budgets", {}, h("p", { class: "hint" }, "A limit counts from the plan's start: set it higher than what is used, and the work goes on at once."), list) };
  part.show = (items) => {
    part.element.hidden = !items.length;
    keyed(list, items, ({ plan, budget }) => `${plan.id} ${budget.scope} ${budget.name}`, (each) => budgetRow(context, each, part),
      (element, { budget, waiting }) => say(element.querySelector(".page-line"), `${budget.used_up}; ${counted(waiting.length, "job")} of the plan ${waiting.length === 1 ? "waits" : "wait"}`));
  };
  return part;
}

function budgetRow(context, { plan, budget }, part) {
  const units = Object.keys(UNITS).filter((unit) => budget.limit[unit] !== null && budget.used[unit] >= budget.limit[unit]);
  const raise = (unit) => async () => {
    const used = unit === "usd" ? money(budget.used[unit]) : count(Math.ceil(budget.used[unit]));
    const value = await context.ask({ title: `Raise the budget of ${budget.scope} ${budget.name}`, action: "Raise",
      body: `${used} ${UNITS[unit]} are used.`,
      input: { label: `New limit in ${UNITS[unit]}, in all`, type: "number", value: String(Math.ceil(budget.used[unit] * 2) || 1), required: true } });
    if (value === null) return;
    const whose = budget.scope === "plan" ? {} : { [budget.scope]: budget.name };
    await context.attempt(() => context.api.send("PATCH", `plans/${encodeURIComponent(plan.id)}/budget`, { body: { ...whose, [unit]: Number(value) }, signal: context.signal }), "The budget is raised");
    part.again();
  };
  return h("li", { class: "approval" }, h("div", { class: "approval-head" },
    h("div", {}, h("h3", { class: "break" }, link(to("/plans", plan.id), {}, plan.name), `: ${budget.scope} ${budget.name}`), h("p", { class: "page-line break" })),
    h("div", { class: "actions" }, units.map((unit) => h("button", { type: "button", class: "primary", onclick: raise(unit) }, `Raise ${UNITS[unit]}`)))));
}
