// The swarm: a graph of up to 64 nodes, or a mosaic of more.

import { byId, canvasOf, css, element, key, known, lineSign, percent, bytes, scaleColour, shape, textOn, tipOn } from "./format.js";

const svg = byId("graph");
const PULSES_SHOWN = 60;
const NAMES_SHOWN = 16;
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
let nodes = [];
let edges = new Map();
let places = [];
let system = null;
let cells = null;
let newest = null;
let chosen = 0;

const edgeKey = (a, b) => (a < b ? `${a}-${b}` : `${b}-${a}`);
export const isLarge = (n) => n > 64;

export function build(shown, names, select, named) {
  system = shown;
  newest = null;
  svg.replaceChildren();
  nodes = [];
  edges = new Map();
  const large = isLarge(shown.nodes);
  svg.toggleAttribute("hidden", large);
  byId("mosaic").hidden = !large;
  if (large) return;
  const box = svg.getBoundingClientRect();
  const [width, height] = [Math.max(200, box.width), Math.max(150, box.height)];
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const n = shown.nodes;
  const captions = named && n <= NAMES_SHOWN;
  const r = Math.max(7, Math.min(19, (0.9 * Math.min(width, height)) / Math.max(6, n / 2.2)));
  const below = captions ? 14 : 0;
  const [rx, ry] = [width / 2 - r - 6 - 2 * below, height / 2 - r - 6 - below / 2];
  places = Array.from({ length: n }, (_, i) => {
    const angle = (2 * Math.PI * i) / n - Math.PI / 2;
    const middle = (height - below) / 2;
    return n === 1 ? [width / 2, middle] : [width / 2 + rx * Math.cos(angle), middle + ry * Math.sin(angle)];
  });
  for (const [a, b] of shown.links) {
    const line = shape("line", { class: "edge", x1: places[a][0], y1: places[a][1], x2: places[b][0], y2: places[b][1] });
    line.dataset.link = `${a}-${b}`;
    svg.append(line);
    edges.set(edgeKey(a, b), line);
  }
  places.forEach(([x, y], i) => nodes.push(drawNode(i, x, y, r, names[i], select)));
  for (const { group, x, y, name } of captions ? nodes : []) {
    const caption = shape("text", { class: "name", x, y: y + r + 10 });
    caption.textContent = shortened(name);
    group.append(caption);
  }
}

const shortened = (name) => (name.length > 14 ? `${name.slice(0, 13)}…` : name);

function drawNode(i, x, y, r, name, select) {
  const group = shape("g", { class: "node", tabindex: 0, role: "button", "aria-pressed": "false" });
  group.dataset.node = i;
  const disc = shape("circle", { cx: x, cy: y, r });
  const ring = shape("circle", { class: "ring", cx: x, cy: y, r: r + 3 });
  const mark = shape("path", { fill: "none", "stroke-width": 2.5 });
  const roomy = r >= 16;
  const label = shape("text", { x, y: roomy ? y - 5 : y });
  const part = shape("text", { class: "percent", x, y: y + 7 });
  const title = shape("title");
  group.append(title, disc, ring, mark, label, part);
  svg.append(group);
  group.addEventListener("click", () => select(i));
  group.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    select(i);
  });
  return { group, disc, mark, label, part, roomy, title, name, x, y, r };
}

export function draw(frame, chosenNode) {
  newest = frame;
  if (isLarge(system.nodes)) {
    drawMosaic(frame, chosenNode);
    return;
  }
  const { accuracy, state, bytes: rate, size, alarm } = frame.nodes;
  nodes.forEach((node, i) => {
    const value = accuracy[i];
    const down = state[i] === "down";
    const fill = down || !known(value) ? css("--dead") : scaleColour(shade(value));
    node.disc.setAttribute("fill", fill);
    node.disc.setAttribute("fill-opacity", down ? 0.45 : 1);
    node.group.dataset.state = state[i];
    node.group.setAttribute("aria-pressed", String(i === chosenNode));
    const paused = frame.control?.[i]?.paused;
    node.mark.setAttribute("d", markOf(state[i], node) + (paused ? pauseOf(node) : ""));
    node.mark.setAttribute("stroke", state[i] === "byzantine" ? css("--alert") : css("--ink"));
    node.label.textContent = down ? "" : String(i);
    node.part.textContent = node.roomy && !down && known(value) ? `${Math.round(100 * value)} %` : "";
    for (const text of [node.label, node.part]) text.setAttribute("fill", textOn(fill));
    const alarmed = alarm[i] ? `, drift of the ${alarm[i].kind} at ${alarm[i].at.toFixed(1)} s` : "";
    const words = `${node.name}: ${stateWords(state[i])}, accuracy ${percent(value)}, sends ${bytes(rate[i])}, ${size[i]} prototypes${alarmed}${paused ? ", shares nothing by hand" : ""}`;
    node.group.setAttribute("aria-label", words);
    node.title.textContent = words;
  });
  drawEdges(frame);
  if (!calm.matches) frame.pulses.slice(0, PULSES_SHOWN).forEach(([a, b, count]) => pulse(a, b, count));
}

const stateWords = (state) => ({ up: "up", down: "down", byzantine: "Byzantine" })[state] ?? state;

// Accuracies below one half are all dark.
export const shade = (accuracy) => (accuracy - 0.5) / 0.5;

function markOf(state, { x, y, r }) {
  const d = r * 0.55;
  if (state === "down") return `M${x - d} ${y - d}L${x + d} ${y + d}M${x + d} ${y - d}L${x - d} ${y + d}`;
  if (state === "byzantine") {
    const e = r + 5;
    return `M${x} ${y - e}L${x + e} ${y}L${x} ${y + e}L${x - e} ${y}Z`;
  }
  return "";
}

// Two bars at the upper right.
function pauseOf({ x, y, r }) {
  const [left, top] = [x + 0.8 * r + 2, y - r - 2];
  return `M${left} ${top}v9M${left + 5} ${top}v9`;
}

function drawEdges(frame) {
  const rates = new Map();
  for (const [a, b, rate] of frame.edges) rates.set(edgeKey(a, b), (rates.get(edgeKey(a, b)) ?? 0) + rate);
  const cut = new Set(frame.cut.map(([a, b]) => edgeKey(a, b)));
  const most = Math.max(1, ...rates.values());
  for (const [name, line] of edges) {
    const part = (rates.get(name) ?? 0) / most;
    line.setAttribute("stroke-width", (0.6 + 3 * part).toFixed(2));
    line.setAttribute("stroke-opacity", (rates.size ? 0.18 + 0.55 * part : 0.4).toFixed(2));
    line.classList.toggle("cut", cut.has(name));
    if (cut.has(name)) {
      line.setAttribute("stroke-opacity", 0.9);
      line.setAttribute("stroke-width", 1.5);
    }
  }
}

function pulse(a, b, count) {
  if (!places[a] || !places[b]) return;
  const dot = shape("circle", { class: "pulse", r: Math.min(5, 2 + Math.sqrt(count)) });
  svg.insertBefore(dot, nodes[0]?.group ?? null);
  const [from, to] = [places[a], places[b]].map(([x, y]) => ({ transform: `translate(${x}px, ${y}px)` }));
  dot.animate([from, to], { duration: 500, easing: "ease-in-out" }).finished.then(() => dot.remove(), () => dot.remove());
}

function drawMosaic(frame, chosenNode) {
  const { context, width, height } = canvasOf("mosaic");
  const n = system.nodes;
  const columns = Math.ceil(Math.sqrt((n * width) / height));
  const side = Math.floor(Math.min(width / columns, height / Math.ceil(n / columns)));
  cells = { columns, side };
  chosen = chosenNode;
  const canvas = byId("mosaic");
  canvas.setAttribute("aria-valuemax", n - 1);
  canvas.setAttribute("aria-valuenow", chosen);
  canvas.setAttribute("aria-valuetext", wordsAt(chosen));
  for (let i = 0; i < n; i++) {
    const [x, y] = [(i % columns) * side, Math.floor(i / columns) * side];
    const down = frame.nodes.state[i] === "down";
    const value = frame.nodes.accuracy[i];
    context.fillStyle = down || !known(value) ? css("--dead") : scaleColour(shade(value));
    context.globalAlpha = down ? 0.4 : 1;
    context.fillRect(x, y, Math.max(1, side - 1), Math.max(1, side - 1));
    context.globalAlpha = 1;
    if (frame.nodes.state[i] === "byzantine") outline(context, i, css("--alert"), 1);
  }
  // Dark and light, so that it is seen on every colour.
  outline(context, chosenNode, css("--paper"), 5);
  outline(context, chosenNode, css("--ink"), 2);
}

function outline(context, i, colour, width) {
  const { columns, side } = cells;
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.strokeRect((i % columns) * side + 0.5, Math.floor(i / columns) * side + 0.5, side - 2, side - 2);
}

function cellAt(x, y) {
  if (!cells || !newest) return null;
  const i = Math.floor(y / cells.side) * cells.columns + Math.floor(x / cells.side);
  return Math.floor(x / cells.side) < cells.columns && i < system.nodes ? i : null;
}

const wordsAt = (i) => `node ${i}: ${stateWords(newest.nodes.state[i])}, accuracy ${percent(newest.nodes.accuracy[i])}, ${bytes(newest.nodes.bytes[i])}`;

// The node that a key leads to, or null.
function nodeBy(key) {
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -cells.columns, ArrowDown: cells.columns };
  if (key === "Home") return 0;
  if (key === "End") return system.nodes - 1;
  if (!(key in steps)) return null;
  const to = chosen + steps[key];
  return to >= 0 && to < system.nodes ? to : chosen;
}

export function prepareMosaic(select) {
  const canvas = byId("mosaic");
  tipOn(canvas, (x, y) => {
    const i = cellAt(x, y);
    return i === null ? "" : wordsAt(i);
  });
  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    const i = cellAt(event.clientX - box.left, event.clientY - box.top);
    if (i !== null) select(i);
  });
  canvas.addEventListener("keydown", (event) => {
    const i = cells && newest ? nodeBy(event.key) : null;
    if (i === null) return;
    event.preventDefault();
    select(i);
  });
}

export function legend(n, real, controlled) {
  const box = byId("graph-legend");
  const ramp = element("span", "", { class: "key" });
  const sign = shape("svg", { width: 62, height: 10, viewBox: "0 0 62 10", "aria-hidden": "true" });
  for (let i = 0; i < 31; i++) sign.append(shape("rect", { x: 2 * i, y: 0, width: 2.2, height: 10, fill: scaleColour(i / 30) }));
  ramp.append(element("span", "≤ 50 %"), sign, element("span", "100 %"));
  const down = shape("path", { d: "M5 1L13 9M13 1L5 9", stroke: css("--ink"), "stroke-width": 2 });
  box.replaceChildren(ramp, key("down", down));
  if (controlled) box.append(key("shares nothing", shape("path", { d: "M6 0v10M12 0v10", stroke: css("--ink"), "stroke-width": 2.5 })));
  if (real) {
    if (!isLarge(n)) box.append(key("met", lineOf(1)), key("cut", lineSign(css("--alert"), "3 4", 1)));
    return;
  }
  box.append(key("Byzantine", shape("path", { d: "M9 0L15 5L9 10L3 5Z", fill: "none", stroke: css("--alert"), "stroke-width": 2 })));
  if (!isLarge(n)) box.append(key("traffic", lineOf(3)), key("share", shape("circle", { cx: 9, cy: 5, r: 3.5, fill: css("--mean") })));
}

const lineOf = (width) => shape("line", { x1: 0, x2: 18, y1: 5, y2: 5, stroke: css("--soft"), "stroke-width": width, "stroke-opacity": 0.7 });
