// The curves: accuracy against the baselines, bytes against the budget. uPlot draws them.

import { byId, bytes, css, key, known, lineSign, percent } from "./format.js";

const PALETTE = { isolated: "--isolated", centralised: "--centralised" };
const KIND_COLOURS = ["--mean", "--isolated", "--centralised", "--other", "--last"];
const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3]];
let accuracy = null;
let traffic = null;
let marks = [];
let lowest = 0; // Where the axis of accuracy begins.

const colourOf = (name) => css(PALETTE[name] ?? "--other");
const dashOf = (name) => ({ isolated: DASHES[1], centralised: DASHES[3] })[name] ?? DASHES[2];
const last = (values) => {
  for (let i = values.length - 1; i >= 0; i--) if (known(values[i])) return values[i];
  return null;
};

function axes(unit) {
  const common = { stroke: css("--soft"), grid: { stroke: css("--grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  return [
    { ...common, size: 22, values: (_, ticks) => ticks.map((at, i) => (i === ticks.length - 1 ? `${at} s` : at)), space: 50 },
    { ...common, size: unit === "%" ? 30 : 42, space: 26, values: (_, ticks) => ticks.map((value) => (unit === "%" ? Math.round(100 * value) : compact(value))) },
  ];
}

const compact = (value) => (value >= 1e6 ? `${value / 1e6}M` : value >= 1e4 ? `${value / 1e3}k` : String(value));

function plot(id, series, data, unit, range) {
  const box = byId(id);
  box.replaceChildren();
  const drawMarks = (chart) => {
    const { ctx, bbox } = chart;
    ctx.save();
    ctx.strokeStyle = css("--soft");
    ctx.setLineDash([2, 3]);
    for (const at of marks) {
      const x = chart.valToPos(at, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  };
  return new uPlot(
    {
      width: Math.max(100, box.clientWidth),
      height: Math.max(80, box.clientHeight),
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { show: false } },
      padding: [6, 8, 0, 0],
      scales: { x: { time: false }, y: { range } },
      axes: axes(unit),
      series: [{}, ...series],
      hooks: { draw: [drawMarks] },
    },
    data,
    box,
  );
}

const line = (colour, width, dash = []) => ({ stroke: colour, width, dash, points: { show: false }, spanGaps: true });
const until = (curve, count) => curve.slice(0, count);

// Draws the first `count` points of the curves; a recorded run shows less than it has.
export function draw(curves, system, end, drifts, count = curves.t.length) {
  marks = drifts;
  drawAccuracy(curves, system, end, count);
  drawTraffic(curves, system, end, count);
}

function drawAccuracy(curves, system, end, count) {
  const t = until(curves.t, count);
  const others = Object.keys(curves.others);
  // Of a real swarm there may be more nodes at the end than at the beginning.
  const n = curves.nodes.at(-1)?.length ?? 0;
  const band = n ? [] : [until(curves.low, count), until(curves.high, count)];
  const single = n > 1 ? Array.from({ length: n }, (_, i) => until(curves.nodes, count).map((row) => row[i] ?? null)) : [];
  const series = [
    ...single.map(() => line(css("--node"), 1)),
    ...band.map(() => line(css("--node"), 1)),
    line(css("--last"), 1.5, DASHES[2]),
    ...others.map((name) => line(colourOf(name), 2, dashOf(name))),
    line(css("--mean"), 3),
  ];
  const data = [t, ...single, ...band, until(curves.last_class, count), ...others.map((name) => until(curves.others[name], count)), until(curves.mean, count)];
  lowest = floorOf(data.slice(1 + single.length).flat());
  byId("accuracy-legend").replaceChildren(
    key(system.name, lineSign(css("--mean")), percent(last(data[data.length - 1]))),
    ...others.map((name) => key(name, lineSign(colourOf(name), dashOf(name).join(" ")), percent(last(until(curves.others[name], count))))),
    ...(curves.last_class.some(known) ? [key("last class", lineSign(css("--last"), "2 3"), percent(last(until(curves.last_class, count))))] : []),
    ...(single.length ? [key("each node", lineSign(css("--node"), "", 1.5))] : band.length ? [key("10 % and 90 % of nodes", lineSign(css("--node"), "", 1.5))] : []),
  );
  accuracy = show(accuracy, "accuracy", series, data, "%", () => [lowest, 1], end);
}

function drawTraffic(curves, system, end, count) {
  const kinds = Object.keys(curves.kinds);
  const budget = system.budget;
  const series = [
    ...kinds.map((_, i) => line(css(KIND_COLOURS[(i + 1) % KIND_COLOURS.length]), 1.5, DASHES[(i + 1) % DASHES.length])),
    line(css("--mean"), 2.5),
    ...(budget ? [line(css("--budget"), 1.5, [9, 5])] : []),
  ];
  const t = until(curves.t, count);
  const data = [t, ...kinds.map((kind) => until(curves.kinds[kind], count)), until(curves.bytes, count), ...(budget ? [t.map(() => budget)] : [])];
  byId("bytes-legend").replaceChildren(
    key("all", lineSign(css("--mean")), bytes(last(until(curves.bytes, count)))),
    ...kinds.map((kind, i) => key(kind.replaceAll("_", " "), lineSign(css(KIND_COLOURS[(i + 1) % KIND_COLOURS.length]), DASHES[(i + 1) % DASHES.length].join(" ")), bytes(last(until(curves.kinds[kind], count))))),
    budget ? key("budget", lineSign(css("--budget"), "9 5"), bytes(budget)) : key("no budget", lineSign("transparent")),
  );
  traffic = show(traffic, "bytes", series, data, "B", (_, low, high) => [0, Math.max(10, 1.1 * (high ?? 10))], end);
}

// The axis begins below nearly all values: those of the first samples may lie under it.
function floorOf(values) {
  const sorted = values.filter(known).sort((a, b) => a - b);
  return sorted.length ? Math.max(0, Math.floor(10 * sorted[Math.floor(sorted.length / 20)] - 0.3) / 10) : 0;
}

function show(chart, id, series, data, unit, range, end) {
  const box = byId(id);
  const same = chart && chart.series.length === series.length + 1 && chart.look === css("--ink") && chart.root.isConnected;
  if (same) {
    if (chart.width !== box.clientWidth || chart.height !== box.clientHeight) chart.setSize({ width: Math.max(100, box.clientWidth), height: Math.max(80, box.clientHeight) });
    chart.setData(data, true);
  } else {
    chart = plot(id, series, data, unit, range);
    chart.look = css("--ink");
  }
  if (end) chart.setScale("x", { min: 0, max: end });
  return chart;
}

// For tests and screen readers: the points that are drawn.
export const drawn = () => (accuracy ? accuracy.data[accuracy.data.length - 1].filter(known).length : 0);
