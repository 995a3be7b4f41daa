// Selects runs by pointing, by name and by the address; shows the table of those selected.
let order = { title: "Run", down: false };

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
    ["Parameters", (run) => run.parameters, (value) => value?.toLocaleString("en") ?? "–"],
    ["MFLOP", (run) => run.mflops, (value) => format(value, 4)],
    ["Reduced", (run) => run.reduced],
    ["Stale", (run) => run.stale],
    ...Object.entries(data.settings).map(([key, values]) => [key, (run) => values[run.place]]),
  ].filter(([title, get], place) => place < 8 || new Set(shown.map(get)).size > 1 || (["Reduced", "Stale"].includes(title) && shown.length && get(shown[0])));
  const [, get] = columns.find(([title]) => title === order.title) || columns[0];
  const sorted = [...shown].sort((a, b) => compare(get(a), get(b)) * (order.down ? -1 : 1));
  const heads = columns.map(([title]) => {
    const sort = () => {
      order = { title, down: order.title === title && !order.down };
      drawTable();
    };
    const head = make("th", { scope: "col" }, make("button", { type: "button", onclick: sort }, title));
    if (title === order.title) head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
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
