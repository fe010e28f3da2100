// Asks the app about once a second what it does, and shows it; asks nothing while the tab is hidden or paused.

import { element, keep, kindOf, milliseconds, signed, write } from "./elements.js";
import { showGraphs } from "./graph.js";
import { keepPicturesNew, showStreams } from "./pictures.js";
import { History, showChanges, showCharts, told } from "./timelines.js";

const EVERY_MS = 1000;

const by = (id) => document.getElementById(id);
const history = new History();
let paused = false;
let answeredAt = new Date();

const isPaused = () => paused || document.hidden;

by("pause").addEventListener("click", () => {
  paused = !paused;
  by("pause").setAttribute("aria-pressed", paused);
});

async function ask(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return answer.json();
}

async function catchUp() {
  for (;;) {
    const { changes, more } = history.add(await ask(`page/history?after=${history.last}`));
    if (changes.length) write(by("news"), changes.map(told).join("; "));
    if (!more) return;
  }
}

async function look() {
  try {
    const state = await ask("status");
    await catchUp();
    answeredAt = new Date();
    show(state);
    tell(state.error);
  } catch (error) {
    tell(`The app has not answered since ${answeredAt.toLocaleTimeString()}; what is shown is as old. ${error.message}`);
  }
}

function tell(trouble) {
  by("trouble").hidden = !trouble;
  write(by("trouble"), trouble ?? "");
}

function show(state) {
  const { device, frames } = state;
  const since = new Date(state.startedAt * 1000).toLocaleString();
  write(
    by("summary"),
    `${device.name} (${device.deviceClass}), since ${since}, generation ${state.generation}; ` +
      `frames: ${frames.ingested} in, ${frames.delivered} delivered, ${sum(frames.dropped)} dropped, ${frames.inFlight} in flight`,
  );
  showStreams(by("pictures"), state.streams);
  rows(by("stream-rows"), state.streams, streamCells);
  showGraphs(by("graphs"), state);
  rows(by("module-rows"), state.modules, moduleCells);
  showCharts(by("charts"), history, state.modules);
  showChanges(by("changes"), by("no-changes"), history);
  rows(by("sink-rows"), state.sinks, sinkCells);
}

// The first cell is the row's heading; a cell is a text, or a text and a class.
function rows(body, items, cells) {
  keep(
    body,
    items,
    (item) => `${item.service}/${item.name}`,
    (item) => element("tr", {}, ...cells(item).map((_, place) => element(place ? "td" : "th", place ? {} : { scope: "row" }))),
    (row, item) =>
      cells(item).forEach((cell, place) => {
        const [text, kind] = [cell].flat();
        write(row.children[place], text, kind ?? "");
      }),
  );
}

const number = (value) => [value, "number"];
const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0);
const state = ({ state, reason }) => [reason ? `${signed(state)}: ${reason}` : signed(state), `wide ${kindOf(state)}`];
const dropped = (counts) => Object.entries(counts).map(([reason, count]) => `${count} ${reason}`).join(", ") || "none";

const streamCells = (stream) => [
  `${stream.service}/${stream.name}`,
  state({ state: stream.state, reason: stream.reason ?? stream.trouble }),
  number(stream.fps.toFixed(1)),
  number(stream.frames.delivered),
  number(stream.frames.inFlight),
  dropped(stream.frames.dropped),
  number(stream.reconnects),
  [stream.source, "wide"],
];

const moduleCells = ({ service, name, inputs, model, serving, rollout, batch, queue, latencyMs }) => [
  `${service}/${name}`,
  inputs.join(", ") || "frames",
  serving ? `${model} ${serving.version}` : `${model}, none serves yet`,
  rollout ? state({ state: rollout.state, reason: rollout.reason ?? rollout.candidate }) : ["○ none", "quiet"],
  number(batch.size),
  number(milliseconds(batch.maxWaitMs)),
  number(queue),
  ...["pre", "queue", "infer", "post", "p50", "p99"].map((stage) => number(milliseconds(latencyMs[stage]))),
];

const sinkCells = (sink) => [
  `${sink.service}/${sink.name}`,
  sink.type,
  state(sink),
  number(sink.written),
  number(sink.waiting),
  number(sink.spooled),
  dropped(sink.dropped),
];

async function keepLooking() {
  for (;;) {
    const round = new Promise((done) => setTimeout(done, EVERY_MS));
    if (!isPaused()) await look();
    await round;
  }
}

keepPicturesNew(isPaused);
keepLooking();
