// Shows classes and mistakes of a run, or of one run minus another.
function fillRuns() {
  const able = (chosen.length ? chosen : [...runs.keys()]).filter((name) => runs.get(name).confusion);
  const options = () => able.map((name) => make("option", { value: name }, name));
  find("first").replaceChildren(...options());
  find("second").replaceChildren(make("option", { value: "" }, "nothing"), ...options());
  find("second").value = able.length === 2 ? able[1] : "";
}

// NaN of a class without test images.
const shares = (run) => run.confusion.map((row) => row.map((count) => (100 * count) / row.reduce((a, b) => a + b)));

// Of a run that trained with some of its seeds, only these are counted.
const nameTested = (run) => `${run.name}, ${run.tested.length > 1 ? "seeds" : "seed"} ${[...run.tested].sort((a, b) => a - b).join(", ")}`;

function drawClasses() {
  const [first, second] = ["first", "second"].map((id) => runs.get(find(id).value));
  for (const id of ["classes", "mistakes"]) find(id).replaceChildren();
  find("reading").textContent = "No selected run is evaluated.";
  if (!first) return;
  const compared = second ? [first, second] : [first];
  if (compared.every((run) => run.images === first.images)) drawShares(first, second);
  else find("reading").textContent = `${first.name} and ${second.name} were tested on different images, so they are not compared by class.`;
  for (const run of compared) drawMistakes(run);
}

function drawShares(first, second) {
  const [ours, theirs] = [first, second].map((run) => run && shares(run));
  const { classes } = data.images[first.images];
  find("reading").textContent = second
    ? "Percentage points of the images of a true class (row): blue where the first run has more, orange where the second has."
    : "Percent of the images of a true class (row) by predicted class; what is wrong is coloured.";
  find("reading").textContent += ` Counted: ${(second ? [first, second] : [first]).map(nameTested).join("; ")}.`;
  const cells = ours.map((row, i) => row.map((value, j) => value - (theirs ? theirs[i][j] : 0)));
  const matrix = draw("svg", { id: "confusion", role: "img", "aria-label": "Confusion matrix" });
  const accuracies = draw("svg", { id: "accuracies", role: "img", "aria-label": "Accuracy by class" });
  find("classes").append(make("figure", {}, make("figcaption", {}, second ? "Difference of confusion" : "Confusion"), matrix));
  find("classes").append(make("figure", {}, make("figcaption", {}, "Accuracy by class (%)"), accuracies));
  drawMatrix(matrix, classes, cells, Boolean(second));
  drawAccuracies(accuracies, classes, [[first, ours], ...(second ? [[second, theirs]] : [])]);
}

function drawMatrix(svg, classes, cells, signed) {
  const [left, top, width] = [68, 62, Math.max(svg.parentNode.clientWidth, 200)];
  const [side, height] = [(width - left) / cells.length, Math.min((width - left) / cells.length, 30)];
  svg.setAttribute("viewBox", `0 0 ${width} ${top + height * cells.length}`);
  const wrong = cells.flatMap((row, i) => row.filter((value, j) => !Number.isNaN(value) && (signed || i !== j)));
  const most = wrong.reduce((a, b) => Math.max(a, Math.abs(b)), 0.1);
  svg.marks = [];
  cells.forEach((row, i) => {
    const middle = top + (i + 0.5) * height;
    svg.append(draw("text", { x: left - 6, y: middle + 4, "text-anchor": "end" }, classes[i]));
    const [across, up] = [left + (i + 0.5) * side + 4, top - 6];
    svg.append(draw("text", { x: across, y: up, transform: `rotate(-50 ${across} ${up})` }, classes[i]));
    row.forEach((value, j) => {
      if (Number.isNaN(value)) return;
      const box = { x: left + j * side, y: top + i * height, width: side - 1, height: height - 1 };
      const colour = value < 0 ? data.colours[1] : data.colours[0];
      if (signed || i !== j) svg.append(draw("rect", { ...box, fill: colour, "fill-opacity": (0.55 * Math.abs(value)) / most }));
      const text = value.toFixed(1).replace("-", "−");
      svg.append(draw("text", { class: "name", x: box.x + side / 2, y: middle + 4, "text-anchor": "middle", "font-size": side < 32 ? 9 : 11 }, text));
      svg.marks.push({ left: box.x + side / 2, top: middle, text: `is ${classes[i]}, predicted ${classes[j]}: ${text} ${signed ? "points" : "%"}` });
    });
  });
}

function drawAccuracies(svg, classes, pairs) {
  const listed = pairs.map(([run, values]) => [run, values.map((row, i) => row[i])]);
  const [left, top, height, width] = [68, 8, 30, Math.max(svg.parentNode.clientWidth, 200)];
  svg.setAttribute("viewBox", `0 0 ${width} ${top + height * classes.length + 24}`);
  const across = scale([...listed.flatMap(([, values]) => values).filter((value) => !Number.isNaN(value)), 100], "linear", left, width - 12);
  const bottom = top + height * classes.length;
  for (const tick of across.ticks.filter((each) => each >= 0 && each <= 100)) {
    const at = across.map(tick);
    svg.append(draw("line", { class: "grid", x1: at, x2: at, y1: top, y2: bottom }), draw("text", { x: at, y: bottom + 16, "text-anchor": "middle" }, format(tick)));
  }
  svg.marks = [];
  classes.forEach((name, i) => {
    const middle = top + (i + 0.5) * height;
    svg.append(draw("text", { x: left - 6, y: middle + 4, "text-anchor": "end" }, name));
    for (const [run, values] of listed) {
      if (Number.isNaN(values[i])) continue;
      const at = across.map(values[i]);
      svg.append(draw("circle", { cx: at, cy: middle, r: 5, fill: colourOf(run), "data-run": run.name }));
      svg.marks.push({ left: at, top: middle, run: run.name, text: `${run.name}, ${name}: ${values[i].toFixed(1)} %` });
    }
  });
}

function drawMistakes(run) {
  const { classes, pictures } = data.images[run.images];
  const figures = run.mistakes.map(([index, label, predicted, probability]) => {
    const picture = pictures[index];
    const image = picture ? [make("img", { src: `data:image/webp;base64,${picture}`, alt: `Test image ${index}`, width: 64, height: 64 })] : [];
    const text = `${classes[predicted]} (${(100 * probability).toFixed(1)} %), is ${classes[label]}`;
    return make("figure", {}, ...image, make("figcaption", {}, text));
  });
  const shown = run.mistakes.some(([index]) => pictures[index]);
  const without = shown || !figures.length ? "" : " (the images were not there when this page was written)";
  find("mistakes").append(make("h3", {}, `Most confident mistakes of ${run.name}, seed ${run.tested[0]}${without}`), make("div", { className: "pictures" }, ...figures));
}
