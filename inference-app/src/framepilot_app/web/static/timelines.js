// The last ten minutes: the device, and each module's batch size and tail, with a mark where something changed.

import { drawn, element, keep, milliseconds, write } from "./elements.js";

const SPANS_S = [60, 120, 300, 600];
const LONGEST_S = SPANS_S.at(-1);
const HEIGHT = 96;
const TOP = 16;
const BOTTOM = 18;
const LEFT = 44;
const MARKS = { batch: "▲", model: "◆" };

export class History {
  #run = null;
  #samples = [];
  #nowS = 0;

  get last() {
    return this.#samples.at(-1)?.number ?? 0;
  }

  get samples() {
    return this.#samples;
  }

  // Takes an answer of /page/history; returns the changes in it, and whether there is more to ask for.
  add(answer) {
    const known = this.#run === answer.run;
    if (!known) this.#samples = [];
    this.#run = answer.run;
    this.#nowS = answer.nowS;
    this.#samples.push(...answer.samples.filter((sample) => sample.number > this.last));
    this.#samples = this.#samples.filter((sample) => this.agoS(sample) <= LONGEST_S);
    const more = answer.samples.length > 0 && this.last < answer.last;
    return { changes: known ? answer.samples.flatMap((sample) => sample.changes) : [], more };
  }

  agoS(sample) {
    return this.#nowS - sample.atS;
  }

  // The shortest span that all samples fit in.
  get spanS() {
    const oldest = this.#samples.length ? this.agoS(this.#samples[0]) : 0;
    return SPANS_S.find((span) => oldest <= span) ?? LONGEST_S;
  }

  timeOf(sample) {
    return new Date(Date.now() - this.agoS(sample) * 1000);
  }
}

export const told = (change) =>
  change.what === "batch"
    ? `${change.module}: batch ${change.before} → ${change.after}`
    : `${change.module}: model version ${change.before} → ${change.after}`;

export function showChanges(list, none, history) {
  const changes = history.samples.flatMap((sample) => sample.changes.map((change) => ({ sample, change }))).reverse();
  none.hidden = changes.length > 0;
  const key = ({ sample, change }) => `${sample.number} ${change.service} ${change.module} ${change.what}`;
  const make = ({ sample, change }) => {
    const time = history.timeOf(sample);
    const shown = element("time", { datetime: time.toISOString() }, time.toLocaleTimeString());
    return element("li", {}, shown, `${MARKS[change.what]} ${change.service}/${told(change)}`);
  };
  keep(list, changes, key, make, () => {});
}

export function showCharts(parent, history, modules) {
  const charts = [
    { key: "device", name: "Device", what: "busy", kind: "whole", unit: " %", least: 100, value: (sample) => sample.busy * 100, marks: () => true },
  ];
  for (const { service, name } of modules) {
    const own = (each) => each.service === service && each.module === name;
    const of = (field) => (sample) => sample.modules.find(own)?.[field] ?? null;
    const base = { name: `${service}/${name}`, marks: own };
    charts.push({ ...base, key: `${service}/${name} batch`, what: "batch size", kind: "batch", unit: "", least: 2, value: of("batch"), stepped: true });
    charts.push({ ...base, key: `${service}/${name} tail`, what: "p99 of each second", kind: "tail", unit: " ms", least: 1, value: of("p99Ms") });
  }
  keep(parent, charts, (chart) => chart.key, make, (figure, chart) => update(figure, chart, history));
}

function make(chart) {
  const words = element("span", {}, element("strong", {}, chart.name), ` ${chart.what}`);
  const caption = element("figcaption", {}, words, element("span", { class: "now" }));
  return element("figure", { class: chart.kind }, caption, drawn("svg", { role: "img" }));
}

function update(figure, chart, history) {
  const svg = figure.querySelector("svg");
  const width = svg.clientWidth || LONGEST_S;
  const span = history.spanS;
  const points = history.samples.map((sample) => ({ ago: history.agoS(sample), value: chart.value(sample) }));
  const values = points.map((point) => point.value).filter((value) => value !== null);
  const now = points.at(-1)?.value ?? null;
  const highest = ceiling(Math.max(chart.least, ...values));
  const x = (ago) => LEFT + (1 - ago / span) * (width - LEFT - 8);
  const y = (value) => HEIGHT - BOTTOM - (value / highest) * (HEIGHT - TOP - BOTTOM);
  write(figure.querySelector(".now"), current(now, chart.unit));
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.setAttribute("aria-label", inWords(chart, values, now, history));
  svg.replaceChildren(
    ...[0, highest / 2, highest].flatMap((value) => [
      drawn("line", { x1: LEFT, x2: width - 8, y1: y(value), y2: y(value) }),
      drawn("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, plain(value)),
    ]),
    drawn("text", { x: x(span), y: HEIGHT - 4 }, `${span / 60} min ago`),
    drawn("text", { x: x(0), y: HEIGHT - 4, "text-anchor": "end" }, "now"),
    drawn("path", { d: lineThrough(points, x, y, chart.stepped) }),
    ...marksOf(chart, history).map(({ ago, changes }) =>
      drawn(
        "g",
        {},
        drawn("title", {}, changes.map(told).join("; ")),
        drawn("line", { class: "change", x1: x(ago), x2: x(ago), y1: TOP - 2, y2: HEIGHT - BOTTOM }),
        drawn("text", { class: "change", x: x(ago), y: TOP - 5, "text-anchor": "middle" }, signsOf(changes)),
      ),
    ),
  );
}

const marksOf = (chart, history) =>
  history.samples
    .map((sample) => ({ ago: history.agoS(sample), changes: sample.changes.filter(chart.marks) }))
    .filter(({ changes }) => changes.length > 0);

const signsOf = (changes) => [...new Set(changes.map((change) => MARKS[change.what]))].join("");

function inWords(chart, values, now, history) {
  if (!values.length) return `${chart.name}, ${chart.what}: no value yet`;
  const range = `from ${shown(Math.min(...values), chart.unit)} to ${shown(Math.max(...values), chart.unit)}`;
  const changes = marksOf(chart, history).flatMap((mark) => mark.changes);
  return `${chart.name}, ${chart.what}: ${current(now, chart.unit)} now, ${range} in ten minutes, changes: ${changes.length}`;
}

function lineThrough(points, x, y, stepped) {
  let path = "";
  let drawing = false;
  for (const { ago, value } of points) {
    if (value !== null) {
      const to = `${x(ago).toFixed(1)} ${y(value).toFixed(1)}`;
      // A point without neighbours is drawn as a dot.
      path += !drawing ? `M${to}h0` : stepped ? `H${x(ago).toFixed(1)}V${y(value).toFixed(1)}` : `L${to}`;
    }
    drawing = value !== null;
  }
  return path;
}

// A number of one digit, or half of it, so that the lines of the grid have short names.
function ceiling(value) {
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 8, 10].find((each) => each * unit >= value) * unit;
}

const plain = (value) => String(Number(value.toPrecision(3)));
const current = (value, unit) => (value === null ? "nothing" : shown(value, unit));
const shown = (value, unit) => (unit === " ms" ? `${milliseconds(value)}${unit}` : `${Math.round(value)}${unit}`);
