// Tables of all pairs of nodes as heat maps: ages of information, and trust.

import { byId, canvasOf, css, element, known, scaleColour, seconds, shape, tipOn, writeLine } from "./format.js";

let drawn = null;

export function ages(frame, system, names) {
  const { table, group } = frame.age;
  const values = table.flat().filter(known);
  const theory = system.theory;
  const most = ceiling(Math.max(theory?.p95_s ?? 0, quantile(values, 0.95), 0.01));
  const mean = values.length ? values.reduce((a, b) => a + b, 0) / values.length : null;
  byId("age-note").textContent = "of what each row knows of each column, s";
  ramp(most, theory?.mean_s, (value) => `${Number(value.toPrecision(3))} s`);
  const words = [`now ${seconds(mean)}`, `over time ${seconds(frame.totals.aoi_mean_s)}`];
  words.push(theory && known(theory.mean_s) ? `theory ${seconds(theory.mean_s)}` : "no theory");
  const note = element("span", words.join(" · "));
  if (theory?.reasons.length) note.append(element("span", ` (does not hold exactly: ${theory.reasons[0]})`));
  byId("age-legend").append(note);
  // The text around a canvas comes first: it decides how much room is left.
  paint(table, (value) => value / most, names, group, (value) => `as of ${seconds(value)} ago`, "knows");
  if (!system.shares) empty("These nodes do not share, so nothing grows old.");
}

export function trust(inside, system, names) {
  const n = system.nodes;
  const table = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => inside?.trust?.[i]?.[j] ?? null));
  byId("age-note").textContent = "of each row in each column, factor 0 to 1";
  ramp(1, null, (value) => String(value));
  paint(table, (value) => value, names, 1, (value) => `trusts it with a factor of ${value}`, "and");
  if (!table.flat().some(known)) empty(system.shares ? "Nobody has earned or lost trust yet, or this learner has none." : "These nodes do not share.");
}

const quantile = (values, part) => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] : 0;
};

// The next of 1, 2, 5 times a power of ten, so that the scale rarely jumps.
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

function paint(table, part, names, group, words, verb) {
  const { context, width, height } = canvasOf("age");
  const n = table.length;
  const [left, bottom] = [30, 18];
  const side = Math.min((width - left) / n, (height - bottom) / n);
  const cell = { w: Math.min((width - left) / n, 2.2 * side), h: side };
  drawn = { table, names, group, words, verb, left, cell, n };
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const value = table[i][j];
      context.fillStyle = known(value) ? scaleColour(part(value)) : css("--grid");
      context.fillRect(left + j * cell.w, i * cell.h, Math.max(1, cell.w - (n > 30 ? 0 : 1)), Math.max(1, cell.h - (n > 30 ? 0 : 1)));
    }
  }
  context.fillStyle = css("--soft");
  context.font = "10px system-ui, sans-serif";
  context.textBaseline = "middle";
  const step = Math.max(1, Math.ceil(13 / cell.h));
  context.textAlign = "right";
  for (let i = 0; i < n; i += step) context.fillText(String(i * group), left - 4, Math.max(5, (i + 0.5) * cell.h));
  context.textAlign = "center";
  const across = Math.max(1, Math.ceil(18 / cell.w));
  for (let j = 0; j < n; j += across) {
    if (left + (j + 0.5) * cell.w + 10 < width) context.fillText(String(j * group), left + (j + 0.5) * cell.w, n * cell.h + 9);
  }
}

function empty(text) {
  const { context, width } = canvasOf("age");
  drawn = null;
  writeLine(context, text, width);
}

function ramp(most, mark, words) {
  const box = byId("age-legend");
  const made = element("span", "", { class: "key" });
  const sign = shape("svg", { width: 92, height: 12, viewBox: "0 0 92 12", "aria-hidden": "true" });
  for (let i = 0; i < 46; i++) sign.append(shape("rect", { x: 2 * i, y: 1, width: 2.2, height: 10, fill: scaleColour(i / 45) }));
  if (known(mark) && mark <= most) {
    const x = (92 * mark) / most;
    sign.append(shape("path", { d: `M${x} 0V12`, stroke: css("--paper"), "stroke-width": 5 }), shape("path", { d: `M${x} 0V12`, stroke: css("--alert"), "stroke-width": 2.5 }));
  }
  made.append(element("span", words(0)), sign, element("span", words(most)));
  box.replaceChildren(made);
}

export function prepare() {
  tipOn(byId("age"), (x, y) => {
    if (!drawn) return "";
    const [i, j] = [Math.floor(y / drawn.cell.h), Math.floor((x - drawn.left) / drawn.cell.w)];
    const value = drawn.table[i]?.[j];
    if (!known(value)) return "";
    const name = (k) => (drawn.group > 1 ? `nodes ${k * drawn.group} to ${(k + 1) * drawn.group - 1}` : drawn.names[k]);
    return `${name(i)} ${drawn.verb} ${name(j)}: ${drawn.words(value)}`;
  });
}
