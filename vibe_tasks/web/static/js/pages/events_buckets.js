// The two buckets: how full they are, what they let go, and how much they may hold.

import { OVERFLOWS } from "../buckets.js";
import { h, put, say } from "../dom.js";
import { bytes, count, exact } from "../format.js";
import { icon } from "../icons.js";
import { MOST } from "../feed.js";
import { card, meter, remeter } from "../parts.js";

const AGES = [["", "for ever"], ["900", "15 minutes"], ["3600", "an hour"], ["86400", "a day"]];

export function bucketsCard(context) {
  const { feed } = context;
  const parts = { priority: bucket("priority", "high", "Priority", "note"), regular: bucket("regular", "regular", "Regular", "off") };
  const sums = h("p", { class: "muted small buckets-sums" });
  const form = limitsForm(feed, context);
  const element = card("Buckets", { class: "buckets-card" },
    h("div", { class: "buckets" }, parts.priority.element, parts.regular.element), sums,
    h("details", { class: "limits" }, h("summary", {}, "Limits"), form));
  const show = () => {
    const found = feed.buckets.statistics();
    for (const name of ["priority", "regular"]) parts[name].show(found, feed.limits[name], name);
        const told = [
      `${exact(found.received)} received`, `${bytes(found.bytes)} of ${bytes(feed.limits.bytes)} held`,
      found.expired ? `${count(found.expired)} too old` : null,
      feed.dropped ? `${exact(feed.dropped)} left out by the server, because this page was too slow` : null,
      Number.isFinite(feed.ledger?.total) ? `the ledger had ${count(feed.ledger.total)} when this page came` : null,
    ];
    say(sums, told.filter(Boolean).join(" · "));
  };
  show();
  return { element, show };
}

function bucket(name, shape, title, kind) {
  const held = h("strong");
  const bar = meter(0, 1, { kind });
  const line = h("p", { class: "muted small" });
  return {
    element: h("div", { class: `bucket ${name}`, data: { bucket: name } },
      h("div", { class: "bucket-head" }, icon(shape), h("h3", {}, title), held), bar, line),
    show(found, limit) {
      say(held, `${exact(found[name])} of ${exact(limit)}`);
      remeter(bar, found[name], limit, { label: `${title} bucket`, kind });
      say(line, `${bytes(found.bytesOf[name])} · ${count(found.removedOf[name])} made room for newer ones`);
    },
  };
}

function limitsForm(feed, context) {
  const { limits } = feed;
  const number = (id, value) => h("input", { id, type: "number", min: 1, max: MOST, value, required: true, inputmode: "numeric" });
  const priority = number("limit-priority", limits.priority);
  const regular = number("limit-regular", limits.regular);
  const overflow = h("select", { id: "limit-overflow" }, Object.entries(OVERFLOWS).map(([name, text]) => h("option", { value: name }, text)));
  overflow.value = limits.overflow;
  const total_ = h("input", { id: "limit-total", type: "number", min: 1, max: MOST, value: limits.total ?? "", placeholder: "no bound", inputmode: "numeric" });
  const age = h("select", { id: "limit-age" }, AGES.map(([value, text]) => h("option", { value }, text)));
  age.value = limits.maxAge ? String(limits.maxAge) : "";
  const field = (control, text) => h("label", { class: "field", for: control.id }, h("span", {}, text), control);
  const said = h("span", { class: "small muted", role: "status" });
  return h("form", { class: "limits-form", onsubmit: (event) => {
    event.preventDefault();
    feed.limit({
      priority: priority.valueAsNumber, regular: regular.valueAsNumber, overflow: overflow.value,
      total: total_.value ? total_.valueAsNumber : null, maxAge: age.value ? Number(age.value) : null,
    });
    put(said, icon("done"), " kept in this browser");
    context.announce("Limits changed");
  } },
  field(priority, "Priority events"), field(regular, "Regular events"), field(total_, "Both together"),
  field(overflow, "When too many"), field(age, "Keep"),
  h("div", { class: "limits-act" }, h("button", { type: "submit" }, "Apply"), said));
}
