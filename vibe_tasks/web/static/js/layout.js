// A layered drawing of a plan's tasks: waves from left to right, lines that cross seldom.
// Pure and deterministic: the same tasks are always drawn the same. The steps are Sugiyama's
// (Sugiyama, Tagawa, Toda 1981): waves, places for long lines, order by barycentre, positions.
import { graphOf, reduced, waves } from "./graph.js";

export const NODE = { width: 168, height: 46 };
const GAP = { x: 56, y: 14 };
const LANE = 12; // what a long line takes of the height as it passes a wave
const SWEEPS = 12;
const PATIENCE = 4; // sweeps without a better order
const MARGIN = 16;
const COLUMNS = 6; // of tasks that need nothing and that nothing needs

/**
 * Where everything goes.
 * @param {{id: string, needs?: string[]}[]} tasks in the plan's order
 * @returns {{width: number, height: number,
 *   nodes: {id: string, wave: number, x: number, y: number}[],
 *   edges: {from: string, to: string, path: string}[], crossings: number}}
 *   left upper corners of the nodes; of the edges the `d` of an SVG path
 */
export function layout(tasks) {
  const whole = graphOf(tasks);
  const alone = whole.ids.map((_, i) => !whole.needs[i].length && !whole.dependants[i].length);
  const linked = tasks.filter((_, number) => !alone[number]);
  const graph = reduced(graphOf(linked));
  const net = withPlaces(graph, waves(graph));
  const best = fewestCrossings(net);
  const y = positions(net, best.layers);
  const top = Math.min(0, ...net.layers.flat().map((at) => y[at] - heightOf(net, at) / 2));
  const nodes = graph.ids.map((id, at) => ({
    id, wave: net.wave[at],
    x: MARGIN + net.wave[at] * (NODE.width + GAP.x),
    y: round(MARGIN + y[at] - top - NODE.height / 2),
  }));
  const bottom = nodes.reduce((most, node) => Math.max(most, node.y + NODE.height), 0);
  const edges = net.lines.map((line) => ({
    from: graph.ids[line[0]], to: graph.ids[line[line.length - 1]],
    path: pathOf(line.map((at) => ({ x: MARGIN + net.wave[at] * (NODE.width + GAP.x),
      y: round(MARGIN + y[at] - top) }))),
  }));
  const rest = tasks.filter((_, number) => alone[number]);
  nodes.push(...grid(rest, linked.length ? bottom + 2 * GAP.y : MARGIN, net.layers.length));
  const right = Math.max(0, ...nodes.map((node) => node.x)) + NODE.width + MARGIN;
  const low = Math.max(0, ...nodes.map((node) => node.y)) + NODE.height + MARGIN;
  return { width: right, height: low, nodes, edges, crossings: best.crossings };
}

function grid(tasks, top, waveCount) {
  const columns = Math.max(waveCount, Math.min(COLUMNS, Math.ceil(Math.sqrt(tasks.length))), 1);
  return tasks.map((task, number) => ({
    id: task.id, wave: 0,
    x: MARGIN + (number % columns) * (NODE.width + GAP.x),
    y: top + Math.floor(number / columns) * (NODE.height + GAP.y),
  }));
}

/** Lines that pass a wave get a place in it, so that they go around its tasks. */
function withPlaces(graph, wave) {
  const net = { count: graph.ids.length, wave: [...wave], up: [], down: [], lines: [], layers: [] };
  graph.ids.forEach((_, at) => { net.up[at] = []; net.down[at] = []; });
  const link = (from, to) => { net.down[from].push(to); net.up[to].push(from); };
  graph.needs.forEach((each, to) => each.forEach((need) => {
    const line = [need];
    for (let between = wave[need] + 1; between < wave[to]; between += 1) {
      const place = net.wave.push(between) - 1;
      net.up[place] = [];
      net.down[place] = [];
      link(line[line.length - 1], place);
      line.push(place);
    }
    link(line[line.length - 1], to);
    net.lines.push([...line, to]);
  }));
  net.wave.forEach((at, node) => (net.layers[at] ??= []).push(node));
  return net;
}

/** Sort each wave by the middle of its neighbours, to and fro; the best order that came up. */
function fewestCrossings(net) {
  const layers = net.layers.map((layer) => [...layer]);
  const place = new Array(net.wave.length).fill(0);
  const middle = new Float64Array(net.wave.length);
  const number = (layer) => layer.forEach((node, at) => { place[node] = at; });
  layers.forEach(number);
  const count = () => layers.slice(1).reduce((sum, layer) => sum + crossings(layer, net.up, place), 0);
  let best = { layers: layers.map((layer) => [...layer]), crossings: count() };
  let vain = 0;
  for (let sweep = 0; sweep < SWEEPS && vain < PATIENCE && best.crossings > 0; sweep += 1) {
    const forward = sweep % 2 === 0;
    const near = forward ? net.up : net.down;
    for (const layer of forward ? layers : [...layers].reverse()) {
      for (const node of layer) middle[node] = mean(near[node], place) ?? place[node];
      layer.sort((a, b) => middle[a] - middle[b] || place[a] - place[b]);
      number(layer);
    }
    const found = count();
    vain += 1;
    if (found < best.crossings) {
      best = { layers: layers.map((layer) => [...layer]), crossings: found };
      vain = 0;
    }
  }
  return best;
}

/** Crossings between a wave and the one before it: inversions, counted with a Fenwick tree. */
function crossings(layer, up, place) {
  const ends = [];
  let size = 2;
  for (const node of layer) {
    const begin = ends.length;
    for (const other of up[node]) {
      let at = ends.push(place[other]) - 1;
      size = Math.max(size, place[other] + 2);
      for (; at > begin && ends[at - 1] > place[other]; at -= 1) ends[at] = ends[at - 1];
      ends[at] = place[other];
    }
  }
  const tree = new Uint32Array(size + 1);
  let found = 0;
  ends.forEach((end, seen) => {
    let below = 0;
    for (let at = end + 1; at > 0; at -= at & -at) below += tree[at];
    found += seen - below;
    for (let at = end + 1; at <= size; at += at & -at) tree[at] += 1;
  });
  return found;
}

/** Middles from top to bottom: as near to the neighbours' as the order and the room allow. */
function positions(net, layers) {
  const y = new Array(net.wave.length).fill(0);
  const settle = (layer, wanted) => {
    const room = [0];
    for (let at = 1; at < layer.length; at += 1) {
      room[at] = room[at - 1] + apart(net, layer[at - 1], layer[at]);
    }
    const moved = rising(wanted.map((want, at) => want - room[at]));
    layer.forEach((node, at) => { y[node] = moved[at] + room[at]; });
  };
  layers.forEach((layer) => settle(layer, layer.map(() => 0)));
  for (let sweep = 0; sweep < 8; sweep += 1) {
    const forward = sweep % 2 === 0;
    for (const layer of forward ? layers : [...layers].reverse()) {
      const near = (node) => (sweep > 5 ? [...net.up[node], ...net.down[node]]
        : forward ? net.up[node] : net.down[node]);
      settle(layer, layer.map((node) => mean(near(node), y) ?? y[node]));
    }
  }
  return y;
}

/** The rising numbers that are nearest to these (least squares; pool adjacent violators). */
export function rising(wanted) {
  const means = new Float64Array(wanted.length);
  const counts = new Uint32Array(wanted.length);
  let blocks = 0;
  for (const want of wanted) {
    means[blocks] = want;
    counts[blocks] = 1;
    for (; blocks > 0 && means[blocks - 1] > means[blocks]; blocks -= 1) {
      const count = counts[blocks - 1] + counts[blocks];
      means[blocks - 1] += ((means[blocks] - means[blocks - 1]) * counts[blocks]) / count;
      counts[blocks - 1] = count;
    }
    blocks += 1;
  }
  const result = new Float64Array(wanted.length);
  for (let block = 0, at = 0; block < blocks; block += 1) {
    for (let left = counts[block]; left > 0; left -= 1) result[at++] = means[block];
  }
  return result;
}

function mean(numbers, values) {
  if (!numbers.length) return null;
  let sum = 0;
  for (const number of numbers) sum += values[number];
  return sum / numbers.length;
}

const heightOf = (net, at) => (at < net.count ? NODE.height : LANE);
const apart = (net, a, b) => (heightOf(net, a) + heightOf(net, b)) / 2 + (
  a < net.count || b < net.count ? GAP.y : 0);
const round = (value) => Math.round(value * 10) / 10;

/** Straight past the waves in between, bent in the gaps. */
function pathOf(points) {
  const half = GAP.x / 2;
  let path = `M${points[0].x + NODE.width} ${points[0].y}`;
  for (let at = 1; at < points.length; at += 1) {
    const { x, y } = points[at];
    const before = points[at - 1];
    path += `C${x - half} ${before.y} ${x - half} ${y} ${x} ${y}`;
    if (at < points.length - 1) path += `H${x + NODE.width}`;
  }
  return path;
}
