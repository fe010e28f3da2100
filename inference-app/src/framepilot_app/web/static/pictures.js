// The newest picture of each stream, asked for only while it is in view.

import { element, keep, kindOf, signed, write } from "./elements.js";

const STALE_MS = 3000;
const STILL = matchMedia("(prefers-reduced-motion: reduce)");
const everyMs = () => (STILL.matches ? 5000 : 500);

const inView = new Set();
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) inView.add(target);
    else inView.delete(target);
  }
});

export function showStreams(parent, streams) {
  keep(parent, streams, (stream) => `${stream.service}/${stream.name}`, make, update);
  for (const figure of inView) if (!figure.isConnected) inView.delete(figure);
}

function make(stream) {
  const image = element("img", { alt: `Newest frame of ${stream.name}, with what was detected`, hidden: "" });
  const figure = element(
    "figure",
    {},
    element("div", { class: "view" }, image, element("p", {}, "Waiting for a frame …")),
    element(
      "figcaption",
      {},
      element("span", {}, element("strong", {}, stream.name), ` ${stream.service}`),
      element("span", { class: "state" }),
      element("span", { class: "age" }),
    ),
  );
  figure.dataset.path = `page/streams/${stream.service}/${encodeURIComponent(stream.name)}.jpg`;
  watcher.observe(figure);
  return figure;
}

function update(figure, stream) {
  const state = stream.state === "running" ? `${signed(stream.state)}, ${stream.fps.toFixed(1)} frames/s` : signed(stream.state);
  if (!figure.dataset.takenAt) write(figure.querySelector(".view p"), missing(stream));
  write(figure.querySelector(".state"), state, `state ${kindOf(stream.state)}`);
}

const missing = (stream) =>
  stream.state === "running" ? "Waiting for a frame …" : "No frame was delivered since this page looks";

export async function keepPicturesNew(isPaused) {
  for (;;) {
    const round = new Promise((done) => setTimeout(done, everyMs()));
    if (!isPaused()) await Promise.all([...inView].map(renew));
    await round;
  }
}

async function renew(figure) {
  const asked = performance.now();
  let answer;
  try {
    answer = await fetch(figure.dataset.path);
    if (answer.status === 200) await show(figure, await answer.blob(), answer.headers);
  } catch {
    answer = null; // The page says that the app does not answer; here the picture only grows older.
  }
  if (answer?.status !== 200 && figure.dataset.takenAt) tellAge(figure, performance.now());
  else if (answer?.status === 200) tellAge(figure, asked);
}

async function show(figure, blob, headers) {
  const image = figure.querySelector("img");
  figure.dataset.takenAt = performance.now() - Number(headers.get("Framepilot-Age-Ms"));
  if (figure.dataset.frame === headers.get("Framepilot-Frame")) return;
  figure.dataset.frame = headers.get("Framepilot-Frame");
  const old = image.src;
  image.src = URL.createObjectURL(blob);
  await image.decode();
  image.hidden = false;
  if (old) URL.revokeObjectURL(old);
}

function tellAge(figure, now) {
  const ageMs = Math.max(now - Number(figure.dataset.takenAt), 0);
  const stale = ageMs > STALE_MS;
  const note = figure.querySelector(".view p");
  figure.classList.toggle("stale", stale);
  note.hidden = !stale;
  if (stale) write(note, `This picture is ${Math.round(ageMs / 1000)} s old`);
  write(figure.querySelector(".age"), `frame ${figure.dataset.frame.split("/").at(-1)}, ${(ageMs / 1000).toFixed(1)} s old`);
}
