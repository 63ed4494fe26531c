// A plan's tasks as a graph of what needs what, with their states as they change.

import { h, say, set, svg, to } from "./dom.js";
import { icon, reshape } from "./icons.js";
import { layout, NODE } from "./layout.js";
import { look } from "./parts.js";
import { stageOf, statusOf, timingOf, troubleOf } from "./stages.js";
import { viewport } from "./viewport.js";

const LETTERS = 19; // of a task's id that fit

/** `show(tasks, chain)` draws them; only where tasks come or go are they laid out anew. */
export function planGraph() {
  const edges = svg("g", { class: "edges", "aria-hidden": "true" });
  const nodes = svg("g", { class: "nodes" });
  const group = svg("g", {}, edges, nodes);
  const frame = svg("svg", { class: "graph", tabindex: "0", role: "group",
    "aria-label": "Graph of the tasks. Arrow keys move, plus and minus zoom, 0 shows all of it; Tab goes through the tasks." },
  group);
  const drawn = { shape: "", nodes: new Map(), edges: [], begun: false };
  frame.addEventListener("keydown", (event) => walk(event, drawn)); // before the viewport's own
  const port = viewport(frame, group);
  // Not on the group: Chromium lets an SVG group with such a listener take the focus itself.
  frame.addEventListener("focusin", (event) => {
    const node = drawn.nodes.get(event.target.dataset.task);
    if (node && event.target.matches(":focus-visible")) port.reveal({ ...node.at, ...NODE });
  });
  return {
    element: h("div", { class: "graph-frame" }, frame, port.buttons),
    show(tasks, chain, since = 0) {
      const shape = JSON.stringify(tasks.map((task) => [task.id, task.needs]));
      if (shape !== drawn.shape) {
        draw(tasks, drawn, nodes, edges, port);
        drawn.shape = shape;
      }
      const byId = new Map(tasks.map((task) => [task.id, task]));
      const onChain = new Set(chain);
      for (const task of tasks) colour(drawn.nodes.get(task.id), task, onChain.has(task.id), since);
      const next = new Map(chain.map((id, at) => [id, chain[at + 1]]));
      for (const edge of drawn.edges) {
        const done = byId.get(edge.from)?.status === "deployed";
        edge.element.setAttribute("class", `edge${done ? " done" : ""}${next.get(edge.from) === edge.to ? " chain" : ""}`);
      }
    },
    /** To be called when it can be seen: a frame that is hidden has no size. */
    seen(tasks) {
      if (drawn.begun || !drawn.nodes.size) return;
      drawn.begun = true;
      const first = tasks.find((task) => task.status === "running") ?? tasks[0];
      const at = drawn.nodes.get(first.id).at;
      port.begin(at.x, at.y + NODE.height / 2);
    },
    tick(tasks, since) {
      for (const task of tasks) {
        const known = drawn.nodes.get(task.id);
        if (known) say(known.time, timingOf(task, since));
      }
    },
  };
}

function draw(tasks, drawn, nodes, edges, port) {
  const plan = layout(tasks);
  port.size(plan.width, plan.height);
  drawn.edges = plan.edges.map((edge) => ({ ...edge, element: svg("path", { class: "edge", d: edge.path }) }));
  edges.replaceChildren(...drawn.edges.map((edge) => edge.element));
  const needs = new Map(tasks.map((task) => [task.id, task.needs ?? []]));
  drawn.nodes = new Map(plan.nodes.map((at) => [at.id, node(at, needs.get(at.id))]));
  // In the plan's order, so that Tab goes through them as a person reads the plan.
  nodes.replaceChildren(...tasks.map((task) => drawn.nodes.get(task.id).element));
}

function node(at, needs) {
  const stage = svg("text", { class: "node-stage", x: 32, y: 34 });
  const time = svg("text", { class: "node-time", x: NODE.width - 10, y: 34, "text-anchor": "end" });
  const title = svg("title", {});
  const shape = icon("waiting", { x: 10, y: NODE.height / 2 - 8, width: 16, height: 16 });
  const name = at.id.length > LETTERS ? `${at.id.slice(0, LETTERS - 1)}…` : at.id;
  const element = svg("a", { class: "node", data: { task: at.id }, transform: `translate(${at.x} ${at.y})` },
    title, svg("rect", { width: NODE.width, height: NODE.height, rx: 8 }), shape,
    svg("text", { class: "node-name", x: 32, y: 18 }, name), stage, time);
  return { element, at, title, stage, time, shape, needs };
}

function colour(node, task, onChain, since) {
  const [looks, shape] = look(statusOf(task));
  const kind = task.status === "waiting" ? "off" : looks; // what waits for its needs is no concern yet
  node.element.setAttribute("class", `node ${kind}${onChain ? " chain" : ""}`);
  reshape(node.shape, shape);
  say(node.stage, stageOf(task).slice(0, 18));
  say(node.time, timingOf(task, since));
  const words = [`${task.id}: ${stageOf(task)}`, task.title, troubleOf(task)];
  if (node.needs.length) words.push(`needs ${node.needs.join(", ")}`);
  say(node.title, words.filter(Boolean).join("\n"));
  set(node.element, { href: task.job_id ? to("/jobs", task.job_id) : null, tabindex: "0" });
}

/** With a task in focus: left to what it needs, right to what needs it, up and down in its wave. */
function walk(event, drawn) {
  const here = drawn.nodes.get(event.target.dataset?.task);
  if (!here || event.ctrlKey || event.metaKey || event.altKey) return;
  const all = [...drawn.nodes.values()];
  const far = ({ at }) => 1000 * Math.abs(at.x - here.at.x) + Math.abs(at.y - here.at.y); // the next wave first
  const near = (found) => found.sort((a, b) => far(a) - far(b))[0];
  const sameWave = all.filter((each) => each.at.x === here.at.x).sort((a, b) => a.at.y - b.at.y);
  const next = {
    ArrowLeft: () => near(here.needs.map((id) => drawn.nodes.get(id)).filter(Boolean)),
    ArrowRight: () => near(all.filter((each) => each.needs.includes(here.at.id))),
    ArrowUp: () => sameWave[sameWave.indexOf(here) - 1],
    ArrowDown: () => sameWave[sameWave.indexOf(here) + 1],
  }[event.key];
  if (!next) return;
  event.preventDefault();
  event.stopImmediatePropagation(); // else the frame would move too
  next()?.element.focus();
}
