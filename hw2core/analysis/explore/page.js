"use strict";
// All views show `chosen`, the names of the selected runs; whatever selects calls `choose`.
// Values are put into the page as text nodes and attributes, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const runs = new Map(data.runs.map((run, place) => [run.name, { ...run, place }]));
const find = (id) => document.getElementById(id);
const MOST_DRAWN = 60; // runs whose curves are drawn
const TOP_LOSS = 10; // where a run diverges, its loss leaves the panel
const NEAR = 24; // pixels between the pointer and what it points at
const X_TITLES = {
  mflops: "Arithmetic of a forward pass (MFLOP per image)",
  parameters: "Trainable parameters",
  convolutions: "Convolutions",
};
const CURVE_TITLES = {
  train_accuracy: "Training accuracy (%)",
  validation_accuracy: "Validation accuracy (%)",
  train_loss: "Training loss",
  validation_loss: "Validation loss",
};
const LAYER_TITLES = {
  gradient_norm: "Gradient by the weight (root mean square)",
  activation_std: "Activation (standard deviation)",
  dead_fraction: "Dead units (% of channels)",
};
let chosen = [];
let epoch = Infinity;
let order = { column: 0, down: false };

// Elements, numbers and colours.
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

function colourOf(run) {
  const place = chosen.indexOf(run.name);
  return place >= 0 && chosen.length <= data.colours.length ? data.colours[place] : data.families[run.family];
}

const drawn = () => chosen.slice(0, MOST_DRAWN).map((name) => runs.get(name));

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

// All runs as points.
function drawPoints() {
  const [svg, x, y] = [find("points"), find("x").value, find("y").value];
  const shown = [...runs.values()].filter((run) => run[x] !== null && run[y] !== null);
  const values = { x: shown.map((run) => run[x]), y: shown.map((run) => run[y]) };
  const panel = plot(svg, { ...values, kinds: ["log", "error"], title: X_TITLES[x], height: 380 });
  const isChosen = (run) => chosen.includes(run.name);
  for (const run of [...shown].sort((a, b) => isChosen(a) - isChosen(b))) {
    const [left, top] = panel.place(run[x], run[y]);
    const colour = data.families[run.family];
    const hollow = run.unfinished && !run.trained;
    svg.append(
      draw("circle", {
        "data-run": run.name,
        class: chosen.length && !isChosen(run) ? "faded" : "",
        cx: left,
        cy: top,
        r: isChosen(run) ? 6.5 : 5,
        fill: hollow ? "none" : colour,
        stroke: isChosen(run) ? colourOf(run) : colour,
        "stroke-width": isChosen(run) ? 3 : 1,
        ...(hollow && { "stroke-dasharray": "2 2" }),
      }),
    );
    const more = [run.same_as && `trained as ${run.same_as}`, run.unfinished && `unfinished: ${run.unfinished}`, run.reduced && `reduced: ${run.reduced}`];
    svg.marks.push({ left, top, run: run.name, text: [`${run.name}: ${percent(run[y])}`, ...more.filter(Boolean)].join("\n") });
  }
  const hidden = runs.size - shown.length;
  const legend = Object.entries(data.families).map(([family, colour]) => make("span", {}, swatch(colour), family));
  if (hidden) legend.push(make("span", {}, `(without such a value: ${hidden} of ${runs.size} runs)`));
  find("families").replaceChildren(...legend);
}

// A click selects the nearest run, a drag of the mouse all runs in a rectangle.
const points = find("points");
let start = null;

function within(event) {
  const box = points.getBoundingClientRect();
  const [a, b] = [start, event].map((at) => [at.clientX - box.left, at.clientY - box.top]);
  return { left: Math.min(a[0], b[0]), top: Math.min(a[1], b[1]), right: Math.max(a[0], b[0]), bottom: Math.max(a[1], b[1]) };
}

points.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  start = event;
  if (event.pointerType !== "touch") points.setPointerCapture(event.pointerId);
});
points.addEventListener("pointermove", (event) => {
  if (!start || start.pointerType === "touch") return;
  const box = within(event);
  points.querySelector(".brush")?.remove();
  points.append(draw("rect", { class: "brush", x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top }));
});
points.addEventListener("pointercancel", () => {
  start = null;
});
points.addEventListener("pointerup", (event) => {
  if (!start) return;
  const box = within(event);
  const adds = event.shiftKey || event.ctrlKey || event.metaKey || find("add").checked;
  const dragged = box.right - box.left > 5 || box.bottom - box.top > 5;
  points.querySelector(".brush")?.remove();
  start = null;
  if (dragged && event.pointerType !== "touch") {
    const inside = points.marks.filter((mark) => mark.left >= box.left && mark.left <= box.right && mark.top >= box.top && mark.top <= box.bottom);
    choose([...(adds ? chosen : []), ...inside.map((mark) => mark.run)]);
  } else if (!dragged) {
    const mark = nearest(points, event);
    if (!mark) return;
    if (adds) toggle(mark.run);
    else choose([mark.run]);
  }
});

const toggle = (name) => choose(chosen.includes(name) ? chosen.filter((other) => other !== name) : [...chosen, name]);

function drawChosen() {
  const chips = chosen.slice(0, 24).map((name) => {
    const run = runs.get(name);
    const title = `Take ${name} out of the selection`;
    const chip = make("button", { type: "button", title, onclick: () => toggle(name) }, swatch(colourOf(run)), `${name}${run.unfinished ? " (unfinished)" : ""} ×`);
    chip.dataset.run = name;
    return chip;
  });
  if (chosen.length > 24) chips.push(make("span", {}, `and ${chosen.length - 24} more`));
  if (chosen.length > MOST_DRAWN) chips.push(make("span", {}, `(curves and layers: the first ${MOST_DRAWN} of ${chosen.length})`));
  if (!chosen.length) chips.push(make("span", {}, "No run is selected."));
  find("chosen").replaceChildren(...chips);
}

// Lines per run and seed in one panel for each title; `list` yields the points of a seed.
function drawPanels(host, titles, options, list) {
  const panels = Object.entries(titles).map(([key, title]) => ({ key, title, svg: draw("svg", { "data-panel": key }) }));
  host.replaceChildren(...panels.map(({ svg, title }) => make("figure", {}, make("figcaption", {}, title), svg)));
  for (const { key, svg } of panels) {
    const { domain, kind, title } = options(key);
    const lines = drawn().flatMap((run) => run.seeds.map((seed) => ({ run, seed, values: list(key, run, seed) })));
    const x = lines.flatMap(({ values }) => values.map((value) => value.x));
    const panel = plot(svg, { x, y: domain, kinds: ["count", kind], title, height: 210 });
    for (const { run, seed, values } of lines) {
      const marks = values.map((value) => ({ ...value, run: run.name }));
      const attributes = { class: seed.unfinished ? "curve unfinished" : "curve", stroke: colourOf(run) };
      if (marks.length) panel.line(marks, { ...attributes, "data-run": run.name, "data-seed": seed.seed });
    }
  }
}

function drawCurves() {
  const accuracy = (key) => key.endsWith("accuracy");
  const values = (key, seed) => seed.curves[data.curves.indexOf(key)].map((value) => (value === null || accuracy(key) ? value : Math.min(value, TOP_LOSS)));
  const alike = (key) => data.curves.filter((other) => accuracy(other) === accuracy(key));
  const seeds = drawn().flatMap((run) => run.seeds);
  const domain = (key) => alike(key).flatMap((other) => seeds.flatMap((seed) => values(other, seed)));
  drawPanels(find("curves"), CURVE_TITLES, (key) => ({ domain: domain(key), kind: accuracy(key) ? "linear" : "log", title: "Epoch" }), (key, run, seed) =>
    values(key, seed).map((y, place) => {
      const value = seed.curves[data.curves.indexOf(key)][place];
      return { x: place + 1, y, text: `${run.name}, seed ${seed.seed}\nepoch ${place + 1}: ${accuracy(key) ? percent(value) : format(value, 5)}` };
    }),
  );
}

function drawLayers() {
  const recorded = drawn().flatMap((run) => run.seeds.flatMap((seed) => seed.layers?.epochs || []));
  const epochs = [...new Set(recorded)].sort((a, b) => a - b);
  const place = Math.max(0, epochs.findLastIndex((each) => each <= epoch));
  Object.assign(find("epochs"), { max: Math.max(0, epochs.length - 1), value: place, disabled: epochs.length < 2 });
  find("epochs").onchange = find("epochs").oninput = (event) => {
    epoch = epochs[event.target.value];
    drawLayers();
  };
  find("epoch").textContent = epochs.length ? (epochs[place] ? `epoch ${epochs[place]}` : "no epoch, before training,") : "training (no layers are recorded)";
  const factor = (quantity) => (quantity === 2 ? 100 : 1);
  const all = (quantity) => drawn().flatMap((run) => run.seeds.flatMap((seed) => (seed.layers ? seed.layers.values[quantity].flat() : [])));
  const domain = (quantity) => (quantity === 2 ? [0, 100] : all(quantity));
  const index = (key) => data.quantities.indexOf(key);
  drawPanels(find("layers"), LAYER_TITLES, (key) => ({ domain: domain(index(key)), kind: index(key) < 2 ? "log" : "linear", title: "Layer, from the input" }), (key, run, seed) => {
    const { names = [], epochs: probed = [], values = [] } = seed.layers || {};
    const last = probed.findLastIndex((each) => each <= epochs[place]);
    if (last < 0) return [];
    const points = values[index(key)][last].map((value, layer) => ({
      x: layer + 1,
      y: value === null ? null : value * factor(index(key)),
      text: `${run.name}, seed ${seed.seed}, ${names[layer]}\nepoch ${probed[last]}: ${format(value * factor(index(key)))}`,
    }));
    return points.filter(({ y }) => y !== null); // what has no ReLU has no dead units
  });
}

// Classes and mistakes of a run, or of one run minus another.
function fillRuns() {
  const able = (chosen.length ? chosen : [...runs.keys()]).filter((name) => runs.get(name).confusion);
  const options = () => able.map((name) => make("option", { value: name }, name));
  find("first").replaceChildren(...options());
  find("second").replaceChildren(make("option", { value: "" }, "nothing"), ...options());
  find("second").value = able.length === 2 ? able[1] : "";
}

const shares = (run) => run.confusion.map((row) => row.map((count) => (100 * count) / Math.max(1, row.reduce((a, b) => a + b))));

function drawClasses() {
  const [first, second] = ["first", "second"].map((id) => runs.get(find(id).value));
  for (const id of ["classes", "mistakes"]) find(id).replaceChildren();
  find("reading").textContent = "No selected run is evaluated.";
  if (!first) return;
  const [ours, theirs] = [first, second].map((run) => run && shares(run));
  find("reading").textContent = second
    ? "Percentage points of the images of a true class (row): blue where the first run has more, orange where the second has."
    : "Percent of the images of a true class (row) by predicted class, over all seeds; what is wrong is coloured.";
  const cells = ours.map((row, i) => row.map((value, j) => value - (theirs ? theirs[i][j] : 0)));
  const matrix = draw("svg", { id: "confusion", role: "img", "aria-label": "Confusion matrix" });
  const accuracies = draw("svg", { id: "accuracies", role: "img", "aria-label": "Accuracy by class" });
  find("classes").append(make("figure", {}, make("figcaption", {}, second ? "Difference of confusion" : "Confusion"), matrix));
  find("classes").append(make("figure", {}, make("figcaption", {}, "Accuracy by class (%)"), accuracies));
  drawMatrix(matrix, cells, Boolean(second));
  drawAccuracies(accuracies, [[first, ours], ...(second ? [[second, theirs]] : [])]);
  for (const run of second ? [first, second] : [first]) drawMistakes(run);
}

function drawMatrix(svg, cells, signed) {
  const [left, top, width] = [68, 62, Math.max(svg.parentNode.clientWidth, 200)];
  const [side, height] = [(width - left) / cells.length, Math.min((width - left) / cells.length, 30)];
  svg.setAttribute("viewBox", `0 0 ${width} ${top + height * cells.length}`);
  const wrong = cells.flatMap((row, i) => row.filter((_, j) => signed || i !== j));
  const most = wrong.reduce((a, b) => Math.max(a, Math.abs(b)), 0.1);
  svg.marks = [];
  cells.forEach((row, i) => {
    const middle = top + (i + 0.5) * height;
    svg.append(draw("text", { x: left - 6, y: middle + 4, "text-anchor": "end" }, data.classes[i]));
    const [across, up] = [left + (i + 0.5) * side + 4, top - 6];
    svg.append(draw("text", { x: across, y: up, transform: `rotate(-50 ${across} ${up})` }, data.classes[i]));
    row.forEach((value, j) => {
      const box = { x: left + j * side, y: top + i * height, width: side - 1, height: height - 1 };
      const colour = value < 0 ? data.colours[1] : data.colours[0];
      if (signed || i !== j) svg.append(draw("rect", { ...box, fill: colour, "fill-opacity": (0.55 * Math.abs(value)) / most }));
      const text = value.toFixed(1).replace("-", "−");
      svg.append(draw("text", { class: "name", x: box.x + side / 2, y: middle + 4, "text-anchor": "middle", "font-size": side < 32 ? 9 : 11 }, text));
      svg.marks.push({ left: box.x + side / 2, top: middle, text: `is ${data.classes[i]}, predicted ${data.classes[j]}: ${text} ${signed ? "points" : "%"}` });
    });
  });
}

function drawAccuracies(svg, pairs) {
  const listed = pairs.map(([run, values]) => [run, values.map((row, i) => row[i])]);
  const [left, top, height, width] = [68, 8, 30, Math.max(svg.parentNode.clientWidth, 200)];
  svg.setAttribute("viewBox", `0 0 ${width} ${top + height * data.classes.length + 24}`);
  const across = scale([...listed.flatMap(([, values]) => values), 100], "linear", left, width - 12);
  const bottom = top + height * data.classes.length;
  for (const tick of across.ticks.filter((each) => each >= 0 && each <= 100)) {
    const at = across.map(tick);
    svg.append(draw("line", { class: "grid", x1: at, x2: at, y1: top, y2: bottom }), draw("text", { x: at, y: bottom + 16, "text-anchor": "middle" }, format(tick)));
  }
  svg.marks = [];
  data.classes.forEach((name, i) => {
    const middle = top + (i + 0.5) * height;
    svg.append(draw("text", { x: left - 6, y: middle + 4, "text-anchor": "end" }, name));
    for (const [run, values] of listed) {
      const at = across.map(values[i]);
      svg.append(draw("circle", { cx: at, cy: middle, r: 5, fill: colourOf(run), "data-run": run.name }));
      svg.marks.push({ left: at, top: middle, run: run.name, text: `${run.name}, ${name}: ${values[i].toFixed(1)} %` });
    }
  });
}

function drawMistakes(run) {
  const figures = run.mistakes.map(([index, label, predicted, probability]) => {
    const picture = data.pictures[index];
    const image = picture ? [make("img", { src: `data:image/webp;base64,${picture}`, alt: `Test image ${index}`, width: 64, height: 64 })] : [];
    const text = `${data.classes[predicted]} (${(100 * probability).toFixed(1)} %), is ${data.classes[label]}`;
    return make("figure", {}, ...image, make("figcaption", {}, text));
  });
  const shown = run.mistakes.some(([index]) => data.pictures[index]);
  const without = shown || !figures.length ? "" : " (the images were not there when this page was written)";
  find("mistakes").append(make("h3", {}, `Most confident mistakes of ${run.name}${without}`), make("div", { className: "pictures" }, ...figures));
}

// The table: what is known of each run, and the settings in which the runs shown differ.
function drawTable() {
  const shown = (chosen.length ? chosen : [...runs.keys()]).map((name) => runs.get(name));
  const columns = [
    ["Run", (run) => run.name],
    ["Network", (run) => run.family],
    ["Test (%)", (run) => run.test, (value) => (value === null ? "–" : value.toFixed(2))],
    ["Validation (%)", (run) => run.validation, (value) => (value === null ? "–" : value.toFixed(2))],
    ["Seeds trained", (run) => [run.trained, run.unfinished && `unfinished: ${run.unfinished}`].filter(Boolean).join("; ")],
    ["Convolutions", (run) => run.convolutions],
    ["Parameters", (run) => run.parameters, (value) => value.toLocaleString("en")],
    ["MFLOP", (run) => run.mflops, (value) => format(value, 4)],
    ["Reduced", (run) => run.reduced],
    ...Object.entries(data.settings).map(([key, values]) => [key, (run) => values[run.place]]),
  ].filter(([title, get], place) => place < 8 || new Set(shown.map(get)).size > 1 || (title === "Reduced" && shown[0]?.reduced));
  order.column = Math.min(order.column, columns.length - 1);
  const get = columns[order.column][1];
  const sorted = [...shown].sort((a, b) => compare(get(a), get(b)) * (order.down ? -1 : 1));
  const heads = columns.map(([title], place) => {
    const sort = () => {
      order = { column: place, down: order.column === place && !order.down };
      drawTable();
    };
    const head = make("th", { scope: "col" }, make("button", { type: "button", onclick: sort }, title));
    if (place === order.column) head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
    return head;
  });
  const rows = sorted.map((run) => {
    const row = make("tr", {}, ...columns.map(([, read, show = (value) => value ?? "–"], place) => {
      const value = read(run);
      return make("td", { className: typeof value === "number" ? "right" : "" }, ...(place ? [] : [swatch(colourOf(run))]), String(show(value)));
    }));
    row.dataset.run = run.name;
    return row;
  });
  find("table").replaceChildren(make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows));
}

function compare(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  return typeof a === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
}

// The selection, which the address holds: names of runs, or of experiments for all of their runs.
function choose(names, remember = true) {
  chosen = [...new Set(names)];
  if (remember) history.replaceState(null, "", `#${chosen.join(",")}`);
  find("note").hidden = true;
  fillRuns();
  drawAll();
}

function drawAll() {
  for (const show of [drawPoints, drawChosen, drawCurves, drawLayers, drawClasses, drawTable]) show();
}

const expand = (name) => (runs.has(name) ? [name] : (Object.hasOwn(data.experiments, name) ? data.experiments[name] : []).filter((run) => runs.has(run)));

function readAddress() {
  const names = location.hash.slice(1).replaceAll(/%2c/gi, ",").split(",").filter(Boolean);
  choose(names.length ? names.flatMap(expand) : data.start, false);
  const unknown = names.filter((name) => !expand(name).length);
  find("note").hidden = !unknown.length;
  find("note").textContent = `Not on this page: ${unknown.join(", ")}.`;
}

find("names").append(...[...Object.keys(data.experiments), ...runs.keys()].map((value) => make("option", { value })));
find("name").addEventListener("change", (event) => {
  const added = expand(event.target.value);
  if (added.length) choose([...chosen, ...added]);
  if (added.length) event.target.value = "";
});
find("all").addEventListener("click", () => choose([...runs.keys()]));
find("none").addEventListener("click", () => choose([]));
for (const id of ["x", "y"]) find(id).addEventListener("change", drawPoints);
for (const id of ["first", "second"]) find(id).addEventListener("change", drawClasses);
addEventListener("hashchange", readAddress);
if (data.runs.some((run) => run.unfinished && run.test === null)) find("y").value = "validation";
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== width) drawAll(); // a phone's address bar comes and goes
  width = innerWidth;
});
readAddress();
