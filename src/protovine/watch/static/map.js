// The prototypes of one node on a map that never moves: a fixed projection of the data.

import { byId, canvasOf, classColour, classShape, css, element, key, shape, tipOn, tracePath, writeLine } from "./format.js";

let drawn = [];
let choices = [];
let names = [];
let classes = [];

export function draw(inside, about) {
  names = about.names;
  classes = about.classes;
  drawn = [];
  const words = instead(inside);
  if (words) {
    byId("map-note").textContent = "";
    byId("map-legend").replaceChildren();
    const { context, width } = canvasOf("map");
    writeLine(context, words, width);
    return;
  }
  // The text around the canvas comes first: it decides how much room is left.
  choices = inside.choices.slice(-6);
  drawWords(inside);
  const { context, width, height } = canvasOf("map");
  const [left, right, bottom, top] = inside.bounds;
  const place = (x, y) => [8 + ((x - left) / (right - left)) * (width - 16), height - 8 - ((y - bottom) / (top - bottom)) * (height - 16)];
  const heaviest = Math.max(1, ...inside.prototypes.map((each) => each[3]));
  for (const [x, y, label, weight, origin, at] of inside.prototypes) {
    const [px, py] = place(x, y);
    const r = 2.5 + 8 * Math.sqrt(Math.max(0, weight) / heaviest);
    context.beginPath();
    tracePath(context, classShape(label), px, py, r);
    context.globalAlpha = 0.75;
    context.fillStyle = context.strokeStyle = classColour(label);
    context.lineWidth = 1.6;
    if (origin < 0) context.fill();
    else context.stroke();
    context.globalAlpha = 1;
    drawn.push({ px, py, r, label, weight, origin, age: inside.now - at });
  }
  choices = choices.map((choice) => ({ ...choice, at_px: place(...choice.place) }));
  choices.forEach((choice, i) => ringOf(context, choice, i === choices.length - 1));
}

function instead(inside) {
  if (!inside) return "waiting for the first samples …";
  if (inside.error) return inside.error;
  if (inside.waits) return "computing the run again to see inside …";
  return inside.held ? "" : `${names[inside.node]} has no prototypes, or is down.`;
}

function drawWords(inside) {
  const shown = inside.held > inside.prototypes.length ? `${inside.prototypes.length} heaviest of ` : "";
  byId("map-note").textContent = `${shown}${inside.held ?? 0} of ${names[inside.node]}; size is weight; across: ${inside.axes[0]}, up: ${inside.axes[1]}`;
  drawLegend();
}

function ringOf(context, choice, newest) {
  const [x, y] = choice.at_px;
  context.beginPath();
  context.arc(x, y, newest ? 13 : 9, 0, 2 * Math.PI);
  context.strokeStyle = choice.shared ? css("--alert") : css("--soft");
  context.setLineDash(choice.shared ? [] : [2, 3]);
  context.lineWidth = newest ? 2.2 : 1.2;
  context.stroke();
  context.setLineDash([]);
}

const className = (label) => classes[label] ?? `class ${label}`;

function wordsOf(choice) {
  const done = choice.inserted ? "inserted" : "merged";
  const why = `surprisal ${choice.surprisal.toFixed(2)} bits`;
  return `${done}, ${choice.shared ? "shared" : "not shared"}: ${why}`;
}

function drawLegend() {
  const signs = classes.slice(0, 8).map((label, code) => {
    const sign = shape("path", { d: pathOf(classShape(code)), fill: classColour(code) });
    return key(label.length > 18 ? `${label.slice(0, 17)}…` : label, sign);
  });
  const hollow = shape("circle", { cx: 9, cy: 5, r: 3.6, fill: "none", stroke: css("--soft"), "stroke-width": 1.6 });
  signs.push(key("received", hollow));
  if (choices.length) {
    const ring = (look) => shape("circle", { cx: 9, cy: 5, r: 4, fill: "none", "stroke-width": 1.6, ...look });
    signs.push(key("newest samples, shared", ring({ stroke: css("--alert") })), key("not shared", ring({ stroke: css("--soft"), "stroke-dasharray": "2 2" })));
  }
  const newest = choices[choices.length - 1];
  if (newest) signs.push(element("span", `newest sample (${className(newest.label)}): ${wordsOf(newest)}`, { id: "newest" }));
  byId("map-legend").replaceChildren(...signs);
}

// The same shapes as on the canvas, as the path of an SVG element around (9, 5).
function pathOf(kind) {
  const parts = [];
  const pen = {
    moveTo: (x, y) => parts.push(`M${x} ${y}`),
    lineTo: (x, y) => parts.push(`L${x} ${y}`),
    closePath: () => parts.push("Z"),
    rect: (x, y, w, h) => parts.push(`M${x} ${y}h${w}v${h}h${-w}Z`),
    arc: (x, y, r) => parts.push(`M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`),
  };
  tracePath(pen, kind, 9, 5, 4.4);
  return parts.join("");
}

export function prepare() {
  tipOn(byId("map"), (x, y) => {
    const choice = choices.find((each) => Math.hypot(each.at_px[0] - x, each.at_px[1] - y) < 6);
    const near = drawn.filter((each) => Math.hypot(each.px - x, each.py - y) < Math.max(5, each.r)).pop();
    if (!near) return choice ? `sample of ${className(choice.label)} at ${choice.at.toFixed(1)} s: ${wordsOf(choice)}` : "";
    const origin = near.origin < 0 ? "from local samples" : `from ${names[near.origin] ?? `node ${near.origin}`}`;
    return `${className(near.label)}, weight ${near.weight.toFixed(1)}, ${origin}, shaped ${Math.max(0, near.age).toFixed(1)} s ago`;
  });
}
