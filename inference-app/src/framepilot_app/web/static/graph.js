// A service's pipeline as a graph: streams, modules by how far they are from the frame, sinks.

import { drawn, element, keep, kindOf, milliseconds, signed, write } from "./elements.js";

const WIDTH = 216;
const HEIGHT = 108;
const GAP_X = 56;
const GAP_Y = 18;
const MOST_LISTED = 4;

export function showGraphs(parent, state) {
  keep(parent, state.pipelines, (pipeline) => pipeline.service, make, (node, pipeline) => update(node, pipeline, state));
}

function make({ service }) {
  const region = { class: "graph", role: "region", tabindex: "0", "aria-label": `Pipeline of ${service}` };
  return element("div", region, element("h3", {}, service), element("div"), element("p", { class: "bad" }));
}

function update(node, pipeline, state) {
  const of = (list) => list.filter((each) => each.service === pipeline.service);
  node.children[1].replaceChildren(graph(pipeline.service, of(state.streams), of(state.modules), of(state.sinks)));
  write(node.children[2], pipeline.error ?? "");
}

function graph(service, streams, modules, sinks) {
  const columns = [[end("streams", streams)], ...columnsOf(modules).map((column) => column.map(box)), [end("sinks", sinks)]];
  const tallest = Math.max(...columns.map((column) => column.length));
  const height = tallest * (HEIGHT + GAP_Y) - GAP_Y;
  const places = new Map();
  columns.forEach((column, x) => {
    const top = (height - (column.length * (HEIGHT + GAP_Y) - GAP_Y)) / 2;
    column.forEach((each, y) => places.set(each.name, { x: x * (WIDTH + GAP_X) + 1, y: top + y * (HEIGHT + GAP_Y) + 1, ...each }));
  });
  const width = columns.length * (WIDTH + GAP_X) - GAP_X;
  const said = `${modules.length} modules of ${service}; the table of modules says the same in words`;
  return drawn(
    "svg",
    { width: width + 2, height: height + 2, viewBox: `0 0 ${width + 2} ${height + 2}`, role: "img", "aria-label": said },
    ...edgesOf(modules).map(([from, to]) => edge(places.get(from), places.get(to))),
    ...[...places.values()].map((place) => drawn("g", { transform: `translate(${place.x} ${place.y})` }, ...place.content)),
  );
}

function columnsOf(modules) {
  const byName = new Map(modules.map((module) => [module.name, module]));
  const depth = (name) => 1 + Math.max(-1, ...byName.get(name).inputs.map(depth));
  const columns = [];
  for (const module of modules) (columns[depth(module.name)] ??= []).push(module);
  return columns;
}

function edgesOf(modules) {
  const taken = new Set(modules.flatMap((module) => module.inputs));
  return [
    ...modules.flatMap((module) => (module.inputs.length ? module.inputs : [STREAMS]).map((from) => [from, module.name])),
    ...modules.filter((module) => !taken.has(module.name)).map((module) => [module.name, SINKS]),
  ];
}

// No module has such a name, for it has a capital in it.
const STREAMS = "Streams";
const SINKS = "Sinks";

function edge(from, to) {
  const [x1, y1, x2, y2] = [from.x + WIDTH, from.y + HEIGHT / 2, to.x, to.y + HEIGHT / 2];
  const bend = (x2 - x1) / 2;
  return drawn(
    "g",
    {},
    drawn("path", { d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2 - 6} ${y2}` }),
    drawn("path", { class: "tip", d: `M${x2} ${y2}l-8 -4v8z` }),
  );
}

function box(module) {
  const rollout = module.rollout?.state ?? (module.serving ? "serving" : "waiting");
  const candidate = module.rollout && rollout !== "Serving" ? ` ${module.rollout.candidate}` : "";
  const kind = kindOf(rollout);
  const lines = [
    [module.name, "name"],
    [module.serving ? `${module.model}, version ${module.serving.version}` : `${module.model}, none serves yet`, "quiet"],
    [`batch ${module.batch.size}, queue ${module.queue}`, ""],
    [`p50 ${milliseconds(module.latencyMs.p50)} ms, p99 ${milliseconds(module.latencyMs.p99)} ms`, ""],
    [`${signed(rollout)}${candidate}`, kind],
  ];
  return { name: module.name, content: [rectangle(kind), ...lines.map(line)] };
}

function end(word, list) {
  const listed = list.slice(0, MOST_LISTED).map((each) => [`${signed(each.state)}: ${each.name}`, kindOf(each.state)]);
  const more = list.length > MOST_LISTED ? [[`and ${list.length - MOST_LISTED + 1} more`, "quiet"]] : [];
  const lines = [[list.length === 1 ? `1 ${word.slice(0, -1)}` : `${list.length} ${word}`, "name"], ...listed.slice(0, MOST_LISTED - more.length), ...more];
  return { name: word === "streams" ? STREAMS : SINKS, content: [rectangle("end"), ...lines.map(line)] };
}

const rectangle = (kind) => drawn("rect", { class: kind, width: WIDTH, height: HEIGHT, rx: 5 });

function line([text, kind], place) {
  const shown = text.length > 32 ? `${text.slice(0, 31)}…` : text;
  return drawn("text", { class: kind, x: 10, y: 20 + place * 19 }, drawn("title", {}, text), shown);
}
