// Numbers, colours and small pieces of the page. Text from outside only ever becomes textContent.

export const byId = (id) => document.getElementById(id);

export function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export function shape(name, attributes = {}) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export const known = (value) => value !== null && value !== undefined;
export const percent = (value) => (known(value) ? `${(100 * value).toFixed(1)} %` : "–");
export const seconds = (value, digits = 2) => (known(value) ? `${value.toFixed(digits)} s` : "–");

// Two significant digits, where rounding to a whole number would hide the value.
export const small = (value) => (value % 1 ? value.toPrecision(2) : `${value}`);

export function bytes(value) {
  if (!known(value)) return "–";
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} MB/s`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)} kB/s`;
  return `${value < 10 ? small(value) : Math.round(value)} B/s`;
}

// Cividis (Nuñez, Anderton & Renslow 2018): ordered in brightness, the same to the colour-blind.
const CIVIDIS = [[0, 32, 77], [49, 68, 107], [87, 92, 109], [122, 119, 119], [160, 147, 117], [203, 179, 96], [255, 234, 70]];

export function scaleColour(part) {
  const at = Math.min(1, Math.max(0, part)) * (CIVIDIS.length - 1);
  const low = Math.min(Math.floor(at), CIVIDIS.length - 2);
  const mix = CIVIDIS[low].map((value, i) => Math.round(value + (at - low) * (CIVIDIS[low + 1][i] - value)));
  return `rgb(${mix.join(",")})`;
}

// Brightness from 0 to 1, as WCAG 2 has it, of "#rrggbb" or "rgb(r,g,b)".
function luminance(colour) {
  const parts = colour.startsWith("#") ? [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)) : colour.match(/\d+/g).map(Number);
  const [r, g, b] = parts.map((part) => (part <= 10 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

// Black or white, whichever has the larger contrast: 4.58 to 1 at least.
export function textOn(colour) {
  const light = luminance(colour) + 0.05;
  return light * light > 1.05 * 0.05 ? "#000" : "#fff";
}

// Classes: colour and shape, so that neither is needed alone.
const CLASS_COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b3a200", "#8a8a8a"];
const CLASS_COLOURS_DARK = ["#4aa3df", "#e69f00", "#2fc79b", "#d99bc0", "#a8d8f5", "#f0924a", "#d4c52a", "#a5a5a5"];
const dark = window.matchMedia("(prefers-color-scheme: dark)");
export const classColour = (code) => (dark.matches ? CLASS_COLOURS_DARK : CLASS_COLOURS)[code % CLASS_COLOURS.length];
export const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "star"];
export const classShape = (code) => SHAPES[code % SHAPES.length];

export function tracePath(path, kind, x, y, r) {
  if (kind === "circle") path.arc(x, y, r, 0, 2 * Math.PI);
  else if (kind === "square") path.rect(x - r * 0.88, y - r * 0.88, r * 1.76, r * 1.76);
  else {
    const corners = { triangle: 3, diamond: 4, cross: 8, star: 10 }[kind];
    for (let i = 0; i < corners; i++) {
      const inner = (kind === "star" || kind === "cross") && i % 2 ? 0.45 : 1.15;
      const angle = (2 * Math.PI * i) / corners - Math.PI / 2;
      const [px, py] = [x + r * inner * Math.cos(angle), y + r * inner * Math.sin(angle)];
      if (i === 0) path.moveTo(px, py);
      else path.lineTo(px, py);
    }
    path.closePath();
  }
}

// A canvas as large as its box, in device pixels; its context in CSS pixels.
export function canvasOf(id) {
  const canvas = byId(id);
  const box = canvas.parentElement.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [Math.max(1, Math.floor(box.width)), Math.max(1, Math.floor(box.height))];
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { canvas, context, width, height };
}

// A sentence in place of a picture.
export function writeLine(context, words, width) {
  context.fillStyle = css("--soft");
  context.font = "13px system-ui, sans-serif";
  context.textAlign = "left";
  context.textBaseline = "alphabetic";
  context.fillText(words, 4, 16, width - 8);
}

export function key(text, draw, value) {
  const made = element("span", "", { class: "key" });
  const width = draw.getAttribute("x2") ?? 18;
  const sign = shape("svg", { width, height: 10, viewBox: `0 0 ${width} 10`, "aria-hidden": "true" });
  sign.append(draw);
  made.append(sign, element("span", text));
  if (known(value)) made.append(element("b", value));
  return made;
}

export const lineSign = (colour, dash = "", width = 2.4) =>
  shape("line", { x1: 0, x2: 28, y1: 5, y2: 5, stroke: colour, "stroke-width": width, "stroke-dasharray": dash });

const tip = byId("tip");
export function showTip(text, event) {
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  tip.style.left = `${Math.min(event.clientX + 12, window.innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 8)}px`;
}

// Text of a tooltip for a canvas: a function of the place in CSS pixels.
export function tipOn(canvas, textAt) {
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    showTip(textAt(event.clientX - box.left, event.clientY - box.top), event);
  });
  canvas.addEventListener("pointerleave", () => showTip(""));
}
