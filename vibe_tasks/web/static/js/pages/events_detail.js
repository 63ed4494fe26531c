// One event: who, when, why it has its priority, and its payload, unfolded as far as it is looked at.

import { Problem } from "../api.js";
import { h, link, put, to } from "../dom.js";
import { ago, bytes, moment } from "../format.js";
import { tree } from "../json_tree.js";
import { LEVELS, badge, failure, skeleton } from "../parts.js";

export function detail(context, { close }) {
  const body = h("div", { class: "detail-body" });
  const element = h("section", { class: "event-detail", "aria-label": "The event", tabindex: -1 },
    h("div", { class: "detail-head" }, h("h3", {}, "Event"), h("button", { type: "button", class: "quiet", "aria-label": "Close the event", onclick: close }, "Close")),
    body);
  let shown = null;
  return {
    element,
    show(id, slim) {
      shown = id;
      element.firstElementChild.firstElementChild.textContent = `Event ${id}`;
      if (slim?.payload) put(body, facts(slim), h("h3", {}, "Payload"), tree(JSON.parse(slim.payload)));
      else put(body, slim ? [facts(slim), h("p", { class: "muted" }, `The payload of ${bytes(slim.payloadSize)} is fetched.`)] : null, skeleton(3));
      load(id, slim);
    },
  };

  /** All of it, as the ledger has it; what is there already stays until then. */
  async function load(id, slim) {
    try {
      const { items: [event] } = await context.api.get("events", { after: id - 1, limit: 1 }, { signal: context.signal });
      if (event?.id !== id) throw new Problem({ status: 404, title: "The ledger no longer has it" });
      if (shown === id) put(body, whole(event));
    } catch (problem) {
      if (problem.name === "AbortError" || shown !== id) return;
      if (slim?.payload) body.append(h("p", { class: "muted small" }, `${problem.title || "Not loaded"}: shown is what this page had kept.`));
      else put(body, slim ? facts(slim) : null, failure(problem, () => load(id, slim)));
    }
  }
}

function facts({ type, priority, app, session, timestamp, model, summary }, why) {
  const rows = [
    ["Type", type], ["Priority", badge(LEVELS[priority] ?? "regular")], ["Why", why],
    ["From", app], ["Session", link(to("/events", undefined, { session }), { class: "break" }, session)],
    ["When", `${moment(timestamp / 1000)} (${ago(timestamp / 1000)})`], ["Model", model],
  ];
  return [
    summary ? h("p", { class: "detail-line break" }, summary) : null,
    h("dl", { class: "event-facts" }, rows.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", { class: "break" }, value)))),
  ];
}

function whole(event) {
  const { id, source_app: app, session_id: session, hook_event_type: type, payload, timestamp, summary, chat, model_name: model, priority, priority_metadata: why, ...extra } = event;
  const reason = why && typeof why === "object" ? Object.entries(why).map(([name, value]) => `${name.replaceAll("_", " ")}: ${typeof value === "object" ? JSON.stringify(value) : value}`).join("; ") : null;
  const job = payload && typeof payload === "object" ? payload.job_id : null;
  return [
    facts({ type, priority, app, session, timestamp, model, summary }, reason),
    typeof job === "string" ? h("p", {}, link(to("/jobs", job), {}, "The job it is about")) : null,
    h("h3", {}, "Payload"), tree(payload),
    chat === undefined || chat === null ? null : [h("h3", {}, "Chat"), tree(chat, null, false)],
    Object.keys(extra).length ? [h("h3", {}, "Other fields"), tree(extra)] : null,
  ];
}
