// The graph of what needs what: waves of work, implied needs, the longest chain. Pure; mirrors plan_graph.py.

/**
 * A graph from tasks, without needs that are no tasks, doubles, and needs that close a cycle: a plan
 * has none, but a drawing must end whatever it is given.
 * @param {{id: string, needs?: string[]}[]} tasks in the plan's order
 * @returns {{ids: string[], needs: number[][], dependants: number[][]}} by number, in that order
 */
export function graphOf(tasks) {
  const ids = tasks.map((task) => task.id);
  const numbers = new Map(ids.map((id, number) => [id, number]));
  const needs = tasks.map((task, number) => [
    ...new Set((task.needs ?? []).map((id) => numbers.get(id))),
  ].filter((need) => need !== undefined && need !== number));
  const graph = { ids, needs, dependants: dependantsOf(needs) };
  const place = [];
  order(graph).forEach((number, at) => { place[number] = at; });
  graph.needs = needs.map((each, number) => each.filter((need) => place[need] < place[number]));
  graph.dependants = dependantsOf(graph.needs);
  return graph;
}

function dependantsOf(needs) {
  const dependants = needs.map(() => []);
  needs.forEach((each, number) => each.forEach((need) => dependants[need].push(number)));
  return dependants;
}

/** Numbers so that each comes after what it needs; what is on a cycle comes last. */
export function order({ ids, needs, dependants }) {
  const open = needs.map((each) => each.length);
  const done = ids.flatMap((_, number) => (open[number] ? [] : [number]));
  for (let at = 0; at < done.length; at += 1) {
    for (const next of dependants[done[at]]) if ((open[next] -= 1) === 0) done.push(next);
  }
  if (done.length < ids.length) {
    const seen = new Set(done);
    ids.forEach((_, number) => seen.has(number) || done.push(number));
  }
  return done;
}

/** The wave of each: 0 where nothing is needed, else one after the last wave of its needs. */
export function waves(graph) {
  const wave = new Array(graph.ids.length).fill(0);
  for (const number of order(graph)) {
    for (const need of graph.needs[number]) wave[number] = Math.max(wave[number], wave[need] + 1);
  }
  return wave;
}

/** The same graph without needs that follow from others: a line of them says nothing new. */
export function reduced(graph) {
  const count = graph.ids.length;
  const words = Math.ceil(count / 32);
  const before = Array.from({ length: count }, () => new Uint32Array(words));
  const has = (set, number) => (set[number >> 5] >>> (number & 31)) & 1;
  const needs = graph.needs.map(() => []);
  for (const number of order(graph)) {
    const all = before[number];
    const direct = graph.needs[number];
    for (const need of direct) {
      for (let word = 0; word < words; word += 1) all[word] |= before[need][word];
    }
    needs[number] = direct.filter((need) => !has(all, need));
    for (const need of direct) all[need >> 5] |= 1 << (need & 31);
  }
  return { ids: graph.ids, needs, dependants: dependantsOf(needs) };
}

/**
 * The ids on a heaviest chain, first to last; of several the one that comes first in the plan.
 * @param {{id: string, needs?: string[]}[]} tasks
 * @param {(task: object) => number} weight what is still to be done of it; zero or more
 * @returns {string[]} empty where nothing weighs anything
 */
export function longestChain(tasks, weight) {
  const graph = graphOf(tasks);
  const total = tasks.map(weight);
  const from = new Array(tasks.length).fill(-1);
  let last = -1;
  for (const number of order(graph)) {
    for (const need of graph.needs[number]) {
      if (from[number] < 0 || total[need] > total[from[number]]) from[number] = need;
    }
    if (from[number] >= 0) total[number] += total[from[number]];
    if (total[number] > 0 && (last < 0 || total[number] > total[last])) last = number;
  }
  const chain = [];
  for (let at = last; at >= 0; at = from[at]) {
    if (weight(tasks[at]) > 0) chain.unshift(graph.ids[at]);
  }
  return chain;
}
