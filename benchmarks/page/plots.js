// The drawings: plain SVG, drawn anew at the width they are given.

/** Call `draw(width)` for what stands in `box`, now and whenever the width of the box changes. */
function drawn(box, draw) {
  let last = 0;
  new ResizeObserver(() => {
    const width = Math.floor(box.clientWidth);
    if (!width || width === last) return;
    last = width;
    box.replaceChildren(draw(width));
  }).observe(box);
  return box;
}

/** Round values from 0 to at least `most`, about `wanted` of them. */
function ticks(most, wanted) {
  if (!(most > 0)) return [0, 1];
  const rough = most / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((value) => value >= rough * 0.75);
  const values = [];
  for (let index = 0; index * step < most + step * 0.999; index++) values.push(index * step);
  return values;
}

const MARGIN = { top: 10, right: 18, bottom: 34, left: 40 };
const HEIGHT = 210;

/** The frame of a plot: grid, axis labels, and functions from values to places. */
function frame(width, label, xTicks, yTicks, xName, xText, yText) {
  const right = width - MARGIN.right;
  const bottom = HEIGHT - MARGIN.bottom;
  const x = (value) => MARGIN.left + (value / xTicks.at(-1)) * (right - MARGIN.left);
  const y = (value) => bottom - (value / yTicks.at(-1)) * (bottom - MARGIN.top);
  const svg = s("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label });
  for (const value of yTicks) {
    svg.append(
      s("line", { class: value ? "grid" : "axis", x1: MARGIN.left, x2: right, y1: y(value), y2: y(value) }),
      s("text", { class: "tick", x: MARGIN.left - 6, y: y(value) + 4, "text-anchor": "end" }, yText(value)),
    );
  }
  for (const value of xTicks) {
    svg.append(s("text", { class: "tick", x: x(value), y: bottom + 15, "text-anchor": "middle" }, xText(value)));
  }
  svg.append(
    s("text", { class: "name", x: (MARGIN.left + right) / 2, y: HEIGHT - 3, "text-anchor": "middle" }, xName),
  );
  return { svg, x, y, bottom };
}

/** How many instances are resolved within a cost: a step for each, and a mark for each that is not. */
function resolvedByCost(rows, width) {
  const free = rows.every((row) => row.cost === 0);
  const key = free ? "tokens" : "cost";
  const most = Math.max(...rows.map((row) => row[key]), 0);
  const ordered = rows.filter((row) => row.status === "resolved").sort((a, b) => a[key] - b[key]);
  const label = `${ordered.length} of ${rows.length} resolved, by ${key} of the instance`;
  const yTicks = ticks(Math.max(ordered.length, 1), 4).filter(Number.isInteger);
  const xTicks = ticks(most, width < 340 ? 3 : 4);
  const digits = Math.max(...xTicks.map((value) => (trimmed(value).split(".")[1] || "").length));
  const xText = free ? short : (value) => "$" + value.toFixed(digits);
  const name = free ? "tokens of the instance" : "cost of the instance";
  const plot = frame(width, label, xTicks, yTicks, name, xText, count);
  let path = `M${plot.x(0)} ${plot.y(0)}`;
  ordered.forEach((row, index) => (path += `H${plot.x(row[key])}V${plot.y(index + 1)}`));
  path += `H${plot.x(most)}`;
  plot.svg.append(s("path", { class: "area", d: path + `V${plot.bottom}H${plot.x(0)}Z` }), s("path", { class: "curve", d: path }));
  for (const row of rows) {
    if (row.status === "resolved") continue;
    const at = plot.x(row[key]);
    plot.svg.append(
      s("line", { class: "missed", x1: at, x2: at, y1: plot.bottom - 7, y2: plot.bottom }, s("title", null, row.id)),
    );
  }
  ordered.forEach((row, index) =>
    plot.svg.append(
      s("circle", { class: "dot", cx: plot.x(row[key]), cy: plot.y(index + 1), r: 2.5 }, s("title", null, row.id)),
    ),
  );
  return plot.svg;
}

/** How many instances took how many steps; the lower part of a bar is resolved. */
function stepsHistogram(rows, width) {
  const most = Math.max(...rows.map((row) => row.steps), 1);
  const size = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((value) => most / value <= 16) || 1000;
  const bins = Array.from({ length: Math.floor(most / size) + 1 }, () => ({ resolved: 0, other: 0 }));
  for (const row of rows) bins[Math.floor(row.steps / size)][row.status === "resolved" ? "resolved" : "other"]++;
  const highest = Math.max(...bins.map((bin) => bin.resolved + bin.other));
  const end = bins.length * size;
  const xTicks = Array.from({ length: bins.length + 1 }, (_, index) => index * size);
  const every = Math.ceil(xTicks.length / (width < 340 ? 5 : 8));
  const yTicks = ticks(highest, 4).filter(Number.isInteger);
  const text = (value) => ((value / size) % every ? "" : count(value));
  const label = `Steps of ${rows.length} instances, at most ${most}`;
  const plot = frame(width, label, xTicks, yTicks, "steps", text, count);
  const wide = Math.max((plot.x(end) - plot.x(0)) / bins.length - 2, 1);
  bins.forEach((bin, index) => {
    const last = size === 1 ? "" : " to " + ((index + 1) * size - 1);
    const title = `${index * size}${last} steps: ${bin.resolved} resolved, ${bin.other} not`;
    const left = plot.x(index * size) + 1;
    const middle = plot.y(bin.resolved);
    const top = plot.y(bin.resolved + bin.other);
    plot.svg.append(
      s("rect", { class: "bar-resolved", x: left, y: middle, width: wide, height: plot.bottom - middle }, s("title", null, title)),
      s("rect", { class: "bar-other", x: left, y: top, width: wide, height: middle - top }, s("title", null, title)),
    );
  });
  return plot.svg;
}

/** The endings as bars that are buttons: `pick(ending)` is called with the one that is pressed. */
function endingBars(rows, pick) {
  const found = new Map();
  for (const row of rows) {
    const bin = found.get(row.ending) || { resolved: 0, all: 0 };
    bin.all++;
    if (row.status === "resolved") bin.resolved++;
    found.set(row.ending, bin);
  }
  const ordered = [...found].sort((a, b) => b[1].all - a[1].all || (a[0] < b[0] ? -1 : 1));
  const most = ordered.length ? ordered[0][1].all : 1;
  return h(
    "ul",
    { class: "bars" },
    ordered.map(([ending, bin]) => {
      const title = `${words(ending)}: ${bin.all}, ${bin.resolved} of them resolved`;
      const bar = s("svg", { width: "100%", height: 10, "aria-hidden": "true" });
      const part = (name, from, size) =>
        s("rect", { class: name, x: (from / most) * 100 + "%", width: (size / most) * 100 + "%", height: 10, rx: 2 });
      bar.append(part("bar-other", 0, bin.all), part("bar-resolved", 0, bin.resolved));
      const name = h("span", null, words(ending));
      const figure = h("span", { class: "figure" }, count(bin.all));
      return h("li", null, h("button", { type: "button", title, onclick: () => pick(ending) }, name, figure, bar));
    }),
  );
}

/** The interval of the rate on a line from 0 to 100 %; hatched up to what is still possible. */
function rateBar(rate, atMost) {
  const place = (share) => share * 100 + "%";
  const { low, high } = rate.interval;
  const label = `${percent(rate.share)}, 95 % interval ${percent(low)} to ${percent(high)}`;
  const bar = s("svg", { class: "rate", width: "100%", height: 22, role: "img", "aria-label": label });
  const rect = (name, from, to, y, height) =>
    s("rect", { class: name, x: place(from), width: place(Math.max(to - from, 0)), y, height, rx: 2 });
  bar.append(
    rect("track", 0, 1, 8, 6),
    rect("open", rate.share, atMost.share, 8, 6),
    rect("done", 0, rate.share, 8, 6),
    rect("range", low, high, 10, 2),
    s("line", { class: "end", x1: place(low), x2: place(low), y1: 5, y2: 17 }),
    s("line", { class: "end", x1: place(high), x2: place(high), y1: 5, y2: 17 }),
  );
  return bar;
}

/** Where the time of each step went: the model's part below, the tools' above; a bar leads to its step. */
function stepTimes(steps, go, width) {
  const longest = Math.max(...steps.map((step) => step.model + step.tools), 0.1);
  const wanted = Math.ceil(steps.length / (width < 500 ? 8 : 16));
  const xTicks = Array.from({ length: steps.length + 1 }, (_, index) => index);
  const label = `Seconds of each of ${steps.length} steps, at most ${longest.toFixed(1)}`;
  const plot = frame(width, label, xTicks, ticks(longest, 4), "step", () => "", trimmed);
  const wide = Math.max(plot.x(1) - plot.x(0) - 2, 1);
  steps.forEach((step, index) => {
    const left = plot.x(index) + 1;
    const middle = plot.y(step.model);
    const top = plot.y(step.model + step.tools);
    const title = `step ${step.turn + 1}: model ${duration(step.model)}, tools ${duration(step.tools)}`;
    const bar = s("g", { class: "step-bar", onclick: () => go(step) }, s("title", null, title));
    const named = index === 0 || (index + 1) % wanted === 0;
    if (named) bar.append(s("text", { class: "tick", x: left + wide / 2, y: plot.bottom + 15, "text-anchor": "middle" }, step.turn + 1));
    bar.append(
      s("rect", { class: "bar-model", x: left, y: middle, width: wide, height: plot.bottom - middle }),
      s("rect", { class: "bar-tools", x: left, y: top, width: wide, height: middle - top }),
    );
    plot.svg.append(bar);
  });
  return plot.svg;
}

function legend(...entries) {
  return h(
    "p",
    { class: "legend" },
    entries.map(([name, text]) => {
      const swatch = s("svg", { width: 10, height: 10, "aria-hidden": "true" }, s("rect", { class: name, width: 10, height: 10, rx: 2 }));
      return h("span", null, swatch, text);
    }),
  );
}

function short(value) {
  if (value >= 1e6) return trimmed(value / 1e6) + "M";
  return value >= 1000 ? trimmed(value / 1000) + "k" : trimmed(value);
}

function trimmed(value) {
  return String(Number(value.toPrecision(3)));
}
