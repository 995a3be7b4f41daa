// Shows runs as points, the selected ones as learning curves and layer by layer.
// All views read `chosen`, the names of the selected runs; whatever selects calls `choose`.
const data = JSON.parse(document.getElementById("data").textContent);
const runs = new Map(data.runs.map((run, place) => [run.name, { ...run, place }]));
const find = (id) => document.getElementById(id);
const MOST_DRAWN = 60; // runs whose curves are drawn
const TOP_LOSS = 10; // where a run diverges, its loss leaves the panel
const X_TITLES = {
  mflops: "Arithmetic of a forward pass (MFLOP per image)",
  parameters: "Parameters",
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

function colourOf(run) {
  const place = chosen.indexOf(run.name);
  return place >= 0 && chosen.length <= data.colours.length ? data.colours[place] : data.families[run.family];
}

const drawn = () => chosen.slice(0, MOST_DRAWN).map((name) => runs.get(name));

// All runs as points.
function drawPoints() {
  const [svg, x, y] = [find("points"), find("x").value, find("y").value];
  const shown = [...runs.values()].filter((run) => run[x] > 0 && run[y] !== null);
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
        class: chosen.length && !isChosen(run) && !hollow ? "faded" : "",
        cx: left,
        cy: top,
        r: isChosen(run) ? 6.5 : 5,
        fill: hollow ? "none" : colour,
        stroke: isChosen(run) ? colourOf(run) : colour,
        "stroke-width": isChosen(run) ? 3 : hollow ? 2 : 1,
        ...(hollow && { "stroke-dasharray": "3 2" }),
      }),
    );
    const lines = [
      `${run.name}: ${percent(run[y])}`,
      data.settings["data.name"] && `data set: ${data.settings["data.name"][run.place]}`,
      run.trained && `seeds trained: ${run.trained}`,
      run.same_as && `trained as ${run.same_as}`,
      run.unfinished && `unfinished: ${run.unfinished}`,
      run.reduced && `reduced: ${run.reduced}`,
      run.stale && `stale: ${run.stale}`,
    ];
    svg.marks.push({ left, top, run: run.name, text: lines.filter(Boolean).join("\n") });
  }
  const hidden = runs.size - shown.length;
  const legend = Object.entries(data.families).map(([family, colour]) => make("span", {}, swatch(colour), family));
  if (hidden) legend.push(make("span", {}, `(without such a value: ${hidden} of ${runs.size} runs)`));
  find("families").replaceChildren(...legend);
}

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
