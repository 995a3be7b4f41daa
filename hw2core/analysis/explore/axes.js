"use strict";
// Draws with SVG: axes, lines, points, and what the pointer is at. Knows nothing of runs but their
// names. Values become text nodes and attributes, never markup.
const NEAR = 24; // pixels between the pointer and what it points at

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function draw(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const swatch = (colour) =>
  draw("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" }, draw("circle", { cx: 5, cy: 5, r: 5, fill: colour }));

function format(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (value !== 0 && Math.abs(value) < 1e-3) return Number(value.toPrecision(digits)).toExponential();
  return value.toLocaleString("en", { maximumSignificantDigits: digits, notation: value >= 1e6 ? "compact" : "standard" });
}

const percent = (value) => (value === null ? "–" : `${value.toFixed(2)} %`);

// Axes: from values to pixels, with the values that get a label. On one of errors the distance to
// 100 % is logarithmic, so that good networks lie apart.
const RAW = {
  linear: (value) => value,
  count: (value) => value,
  log: Math.log10,
  error: (value) => -Math.log10(Math.max(100 - value, 0.01)),
};
const ERROR_TICKS = [0, 20, 40, 60, 70, 80, 85, 90, 95, 98, 99, 99.5];

function scale(values, kind, from, to) {
  const raw = values.filter((value) => value !== null && (kind !== "log" || value > 0)).map(RAW[kind]);
  let [low, high] = raw.length ? raw.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]) : [0, 1];
  const margin = (high - low) * 0.04 || 0.3;
  [low, high] = [low - margin, high + margin];
  const map = (value) => from + ((RAW[kind](value) - low) / (high - low)) * (to - from);
  const inside = (tick) => RAW[kind](tick) >= low && RAW[kind](tick) <= high;
  const linear = () => linearTicks(low, high);
  const ticks = { linear, count: () => linear().filter(Number.isInteger), log: () => logTicks(low, high), error: () => ERROR_TICKS };
  return { map, ticks: ticks[kind]().filter(inside) };
}

function linearTicks(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) || 10);
  const ticks = [];
  for (let n = Math.ceil(low / step); n * step <= high; n += 1) ticks.push(Number((n * step).toPrecision(8)));
  return ticks;
}

function logTicks(low, high) {
  const factors = high - low < 1 ? [1, 2, 3, 5, 7] : high - low < 2 ? [1, 2, 5] : [1];
  const every = Math.ceil((high - low) / 6);
  const ticks = [];
  for (let power = Math.floor(low); power <= high; power += 1)
    if (power % every === 0) ticks.push(...factors.map((factor) => Number(`${factor}e${power}`)));
  return ticks;
}

// Empties an SVG, draws axes into it and returns how to draw more. Each mark that is given to
// `point` has a place in pixels, a text and the name of a run, which the pointer shows.
function plot(svg, { x, y, kinds, title, height }) {
  const width = Math.max(svg.parentNode.clientWidth, 200);
  const box = { left: 44, right: width - 8, top: 8, bottom: height - 36 };
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  const across = scale(x, kinds[0], box.left, box.right);
  const up = scale(y, kinds[1], box.bottom, box.top);
  for (const tick of up.ticks) {
    const at = up.map(tick);
    svg.append(draw("line", { class: "grid", x1: box.left, x2: box.right, y1: at, y2: at }));
    svg.append(draw("text", { x: box.left - 6, y: at + 4, "text-anchor": "end" }, format(tick)));
  }
  let end = -Infinity;
  for (const tick of across.ticks) {
    const [at, label] = [across.map(tick), format(tick)];
    if (at - 4 * label.length < end) continue;
    end = at + 4 * label.length;
    svg.append(draw("text", { x: at, y: box.bottom + 16, "text-anchor": "middle" }, label));
  }
  svg.append(draw("line", { class: "grid", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }));
  svg.append(draw("text", { x: (box.left + box.right) / 2, y: height - 4, "text-anchor": "middle" }, title));
  svg.marks = [];
  return {
    box,
    place: (a, b) => [across.map(a), up.map(b)],
    line(values, attributes) {
      let path = "";
      let broken = true;
      for (const { x: a, y: b, ...mark } of values) {
        if (b === null || (kinds[1] === "log" && b <= 0)) {
          broken = true;
          continue;
        }
        const [left, top] = this.place(a, b);
        path += `${broken ? "M" : "L"}${left.toFixed(1)} ${top.toFixed(1)}`;
        broken = false;
        svg.marks.push({ left, top, ...mark });
      }
      svg.append(draw("path", { ...attributes, d: path || "M0 0" }));
    },
  };
}

function nearest(svg, event) {
  const box = svg.getBoundingClientRect();
  let [found, best] = [null, NEAR];
  for (const mark of svg.marks || []) {
    const distance = Math.hypot(mark.left - event.clientX + box.left, mark.top - event.clientY + box.top);
    if (distance < best) [found, best] = [mark, distance];
  }
  return found;
}

// What the pointer is at: its text, and its run in every view.
const tip = make("div", { id: "tip", hidden: true });
document.body.append(tip);

function point(event) {
  const svg = event.target.closest?.("svg");
  const mark = svg?.marks && nearest(svg, event);
  tip.hidden = !mark;
  if (mark) {
    tip.textContent = mark.text;
    tip.style.left = `${Math.max(0, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${Math.max(0, event.clientY - tip.offsetHeight - 10)}px`;
  }
  const name = mark ? mark.run : event.target.closest?.("[data-run]")?.dataset.run;
  for (const element of document.querySelectorAll(".hovered")) element.classList.remove("hovered");
  if (name) for (const element of document.querySelectorAll(`svg [data-run="${CSS.escape(name)}"]`)) element.classList.add("hovered");
}

for (const kind of ["pointerdown", "pointermove"]) document.addEventListener(kind, point);
