// The curves: accuracy against the baselines, bytes against the budget. uPlot draws them.

import { byId, bytes, css, key, known, lineSign, percent } from "./format.js";

// Neighbours differ in colour and in dash, and the first twenty in one of them.
const COLOURS = ["--mean", "--vermilion", "--green", "--purple", "--ink"];
const DASHES = [[], [10, 4], [4, 3], [10, 3, 2, 3]];
const FONT = "11px system-ui, sans-serif";
const LAST_DASH = [1, 3];
const BUDGET_DASH = [2, 4];
const FAINT = "50"; // The opacity of curves of single nodes, in hexadecimal.
let accuracy = null;
let traffic = null;
let marks = [];
let lowest = 0; // Where the axis of accuracy begins.

const style = (place) => ({ colour: css(COLOURS[place % COLOURS.length]), dash: DASHES[place % DASHES.length] });
const signOf = ({ colour, dash }) => lineSign(colour, dash.join(" "));

function axes(unit) {
  const common = { stroke: css("--soft"), grid: { stroke: css("--grid"), width: 1 }, ticks: { show: false }, font: FONT };
  return [
    { ...common, size: 22, values: (_, ticks) => ticks.map((at, i) => (i === ticks.length - 1 ? `${at} s` : at)), space: 50 },
    { ...common, size: unit === "%" ? 30 : 42, space: 26, values: (_, ticks) => ticks.map((value) => (unit === "%" ? Math.round(100 * value) : compact(value))) },
  ];
}

// Half the width of the last number below a chart, which stands in the middle below its end.
function halfOf(end) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = FONT;
  return pen.measureText(`${Number((end ?? 0).toPrecision(3))} s`).width / 2;
}

const compact = (value) => (value >= 1e6 ? `${value / 1e6}M` : value >= 1e4 ? `${value / 1e3}k` : String(value));

function plot(id, series, data, unit, range) {
  const box = byId(id);
  box.replaceChildren();
  const drawMarks = (chart) => {
    const { ctx, bbox } = chart;
    ctx.save();
    ctx.strokeStyle = css("--soft");
    ctx.lineWidth = 1;
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
      padding: [6, (chart) => 4 + Math.ceil(halfOf(chart.scales.x.max)), 0, 0],
      scales: { x: { time: false }, y: { range } },
      axes: axes(unit),
      series: [{}, ...series],
      hooks: { draw: [drawMarks] },
    },
    data,
    box,
  );
}

const line = (label, { colour, dash = [] }, width) => ({ label, stroke: colour, width, dash, points: { show: false }, spanGaps: true });
const until = (curve, count) => curve.slice(0, count);

// Curves with the points that are new since.
export function joined(curves, news) {
  if (!curves || news.start === 0) return news;
  const after = (before, values) => [...before.slice(0, news.start), ...values];
  const points = Object.entries(news).filter(([name, values]) => Array.isArray(values) && name !== "cursor");
  const made = { ...curves, ...Object.fromEntries(points.map(([name, values]) => [name, after(curves[name], values)])) };
  for (const group of ["kinds", "others"]) {
    const late = new Array(news.start).fill(0);
    const grown = Object.entries(news[group]).map(([name, values]) => [name, after(curves[group][name] ?? late, values)]);
    made[group] = { ...curves[group], ...Object.fromEntries(grown) };
  }
  return made;
}

// Draws the first `count` points of the curves; a recorded run shows less than it has. Legends have the values of the
// frame, as the headline does. `names` are all systems: the place of one decides how its curve looks.
export function draw(curves, system, names, frame, end, drifts, count = curves.t.length) {
  marks = drifts;
  drawAccuracy(curves, system, names, frame, end, count);
  drawTraffic(curves, system, frame, end, count);
}

function drawAccuracy(curves, system, names, frame, end, count) {
  const t = until(curves.t, count);
  const styleOf = (name) => style(Math.max(0, names.indexOf(name)));
  const [own, last] = [styleOf(system.name), { colour: css("--last"), dash: LAST_DASH }];
  const faint = { colour: own.colour + FAINT };
  const others = Object.keys(curves.others);
  // Of a real swarm there may be more nodes at the end than at the beginning.
  const n = curves.nodes.at(-1)?.length ?? 0;
  const band = n ? [] : [until(curves.low, count), until(curves.high, count)];
  const each = n ? "each node" : "10 % and 90 % of nodes";
  const single = n > 1 ? Array.from({ length: n }, (_, i) => until(curves.nodes, count).map((row) => row[i] ?? null)) : [];
  const series = [
    ...[...single, ...band].map(() => line(each, faint, 1)),
    line("last class", last, 1.5),
    ...others.map((name) => line(name, styleOf(name), 2)),
    line(system.name, own, 3),
  ];
  const data = [t, ...single, ...band, until(curves.last_class, count), ...others.map((name) => until(curves.others[name], count)), until(curves.mean, count)];
  lowest = floorOf(data.slice(1 + single.length).flat());
  byId("accuracy-legend").replaceChildren(
    key(system.name, signOf(own), percent(frame.recent)),
    ...others.map((name) => key(name, signOf(styleOf(name)), percent(frame.others[name]))),
    ...(curves.last_class.some(known) ? [key("last class", signOf(last), percent(frame.last_class))] : []),
    ...(single.length || band.length ? [key(each, lineSign(faint.colour, "", 1.5))] : []),
  );
  accuracy = show(accuracy, "accuracy", series, data, "%", () => [lowest, 1], end);
}

function drawTraffic(curves, system, frame, end, count) {
  const kinds = Object.keys(curves.kinds);
  const budget = system.budget;
  const [all, limit] = [style(0), { colour: css("--ink"), dash: BUDGET_DASH }];
  const series = [
    ...kinds.map((kind, i) => line(kind, style(i + 1), 1.5)),
    line("all", all, 2.5),
    ...(budget ? [line("budget", limit, 1.5)] : []),
  ];
  const t = until(curves.t, count);
  const data = [t, ...kinds.map((kind) => until(curves.kinds[kind], count)), until(curves.bytes, count), ...(budget ? [t.map(() => budget)] : [])];
  byId("bytes-legend").replaceChildren(
    key("all", signOf(all), bytes(frame.bytes)),
    ...kinds.map((kind, i) => key(kind.replaceAll("_", " "), signOf(style(i + 1)), bytes(frame.kinds[kind] ?? 0))),
    budget ? key("budget", signOf(limit), bytes(budget)) : key("no budget", lineSign("transparent")),
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
  // A chart keeps the lines that it was made with: others, or other colours, need another chart.
  const look = JSON.stringify([css("--soft"), css("--grid"), series]);
  const same = chart && chart.look === look && chart.root.isConnected;
  if (same) {
    if (chart.width !== box.clientWidth || chart.height !== box.clientHeight) chart.setSize({ width: Math.max(100, box.clientWidth), height: Math.max(80, box.clientHeight) });
    chart.setData(data, true);
  } else {
    chart = plot(id, series, data, unit, range);
    chart.look = look;
  }
  if (end) chart.setScale("x", { min: 0, max: end });
  return chart;
}

// For tests: how many points are drawn, and with which lines.
export const drawn = () => (accuracy ? accuracy.data[accuracy.data.length - 1].filter(known).length : 0);
export const lines = () =>
  [accuracy, traffic].map((chart) => (chart?.series ?? []).slice(1).map((each, i) => ({ label: each.label, colour: each.stroke(chart, i + 1), dash: each.dash.join(" ") })));
