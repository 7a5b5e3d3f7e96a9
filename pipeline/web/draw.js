// The page: paper to draw on, what the model sees of it, and what it says.

"use strict";

const LARGEST_CANVAS = 2048; // rows and columns: a telephone's memory is small
const CALM = 500; // milliseconds without a change until the answer is spoken
const STEP = 8; // pixels of the paper by which an arrow key moves the pen
const SMALL_STEP = 2;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const element = (id) => document.getElementById(id);
const content = JSON.parse(element("content").textContent);
const network = decodeNetwork(content.network);
const FORM = { height: network.shape[0], width: network.shape[1] }; // of an image
const examples = content.examples.map(decodeBytes);
const paper = element("paper");
const rows = [...element("bars").children].map((row) => ({
  row,
  name: row.querySelector(".name"),
  bar: row.querySelector(".bar"),
  share: row.querySelector(".share"),
}));

// What was done, in order: {points} is a stroke, {photo} a picture in its place, {} a cleared paper.
const actions = [];
let stroke = null; // the points of the stroke that is being drawn
let ink = blankPaper(); // the strokes as pixels
let traced = null; // the number of the example below the pen
let scheduled = false;
let calm = 0; // a timer
let cursor = null; // where the pen is that the arrow keys move
const held = new Set(); // arrow keys that are down

// --- what is on the paper

/** The strokes since the paper was last blank, or the photo. */
function shown() {
  const start = actions.findLastIndex((action) => !action.points) + 1;
  const strokes = actions.slice(start).map((action) => action.points);
  return { strokes, photo: strokes.length ? null : actions[start - 1]?.photo };
}

function isBlank() {
  const { strokes, photo } = shown();
  return !strokes.length && !photo;
}

function act(action) {
  actions.push(action);
  redrawInk();
}

function undo() {
  liftPen();
  actions.pop();
  redrawInk();
}

/** Clears the paper; the example below the pen goes once there is nothing else to clear. */
function clear() {
  liftPen();
  if (isBlank()) trace(null);
  else act({});
}

function redrawInk() {
  ink = blankPaper();
  shown().strokes.forEach((points) => drawStroke(ink, points));
  changed();
}

function setPen(point) {
  stroke = [point];
  act({ points: stroke });
}

function movePen(point) {
  drawSegment(ink, stroke.at(-1), point);
  stroke.push(point);
  changed();
}

function liftPen() {
  stroke = null;
}

// --- pictures

/** Puts a picture file on the paper. */
async function readPhoto(file) {
  try {
    const picture = await createImageBitmap(file);
    const scale = Math.min(1, LARGEST_CANVAS / Math.max(picture.width, picture.height));
    const canvas = Object.assign(document.createElement("canvas"), {
      width: Math.max(1, Math.round(picture.width * scale)),
      height: Math.max(1, Math.round(picture.height * scale)),
    });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const grey = greyOf(context.getImageData(0, 0, canvas.width, canvas.height));
    liftPen();
    trace(null);
    act({ photo: { canvas, grey: longerSide(grey) > LARGEST ? scaled(grey, LARGEST) : grey } });
  } catch {
    say("", `${file.name}: this browser cannot read it as a picture`);
  }
}

function readFirstPhoto(files) {
  const file = [...files].find(({ type }) => type.startsWith("image/")) ?? files[0];
  if (file) readPhoto(file);
}

function decodeBytes(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** Draws an image of the model's, light ink on black, pixel by pixel. */
function paintPixels(canvas, pixels) {
  const image = new ImageData(canvas.width, canvas.height);
  pixels.forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// --- the paper on the screen

function paintPaper() {
  const { strokes, photo } = shown();
  const context = paper.getContext("2d");
  const side = Math.round(paper.clientWidth * devicePixelRatio);
  if (paper.width !== side) paper.width = paper.height = side;
  context.setTransform(side / SIDE, 0, 0, side / SIDE, 0, 0);
  context.clearRect(0, 0, SIDE, SIDE);
  if (traced !== null) paintExample(context, examples[traced]);
  if (photo) paintPhoto(context, photo);
  context.strokeStyle = getComputedStyle(paper).color;
  strokes.forEach((points) => paintStroke(context, points));
  if (cursor) paintCursor(context);
  element("hint").hidden = traced !== null || !isBlank() || cursor !== null;
}

function paintStroke(context, points) {
  Object.assign(context, { lineWidth: NIB, lineCap: "round", lineJoin: "round" });
  context.beginPath();
  context.moveTo(...points[0]);
  points.forEach((point) => context.lineTo(...point));
  context.stroke();
}

function paintPhoto(context, { canvas }) {
  const scale = SIDE / Math.max(canvas.width, canvas.height);
  const [across, down] = [canvas.width * scale, canvas.height * scale];
  context.drawImage(canvas, (SIDE - across) / 2, (SIDE - down) / 2, across, down);
}

/** The example in faint ink, so large that it fills the paper as it fills its own image. */
function paintExample(context, pixels) {
  const below = Object.assign(document.createElement("canvas"), FORM);
  paintTinted(below, pixels, getComputedStyle(paper).color);
  context.globalAlpha = 0.25;
  context.drawImage(below, 0, 0, SIDE, SIDE);
  context.globalAlpha = 1;
}

/** Draws `pixels` in one colour, as opaque as they are light. */
function paintTinted(canvas, pixels, colour) {
  const context = canvas.getContext("2d");
  const image = new ImageData(canvas.width, canvas.height);
  pixels.forEach((value, i) => { image.data[4 * i + 3] = value; });
  context.putImageData(image, 0, 0);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = colour;
  context.fillRect(0, 0, canvas.width, canvas.height);
}

function paintCursor(context) {
  context.save();
  context.lineWidth = 2;
  context.setLineDash(stroke ? [] : [4, 4]);
  context.beginPath();
  context.arc(...cursor, NIB / 2 + 3, 0, 2 * Math.PI);
  context.stroke();
  context.restore();
}

// --- the answer

function changed() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    paintPaper();
    answer();
    element("undo").disabled = !actions.length;
    element("clear").disabled = isBlank() && traced === null;
  });
}

function answer() {
  const { strokes, photo } = shown();
  if (!strokes.length && !photo) {
    showNothing(traced === null ? "nothing drawn yet" : "trace it");
    return;
  }
  const found = digits(photo?.grey ?? pictureOf(ink), FORM);
  if (found.length === 1) showAnswer(found[0].values);
  else showNothing(`shows ${found.length ? `${found.length} digits` : "no digit"}, expected one`);
}

function showNothing(reason) {
  paintPixels(element("seen"), new Uint8Array(FORM.height * FORM.width));
  rows.forEach((row) => showBar(row, null, false));
  element("says").className = "says";
  say("", reason);
}

function showAnswer(pixels) {
  const probabilities = softmax(logits(network, pixels));
  const order = probabilities.map((_, i) => i).sort((a, b) => probabilities[b] - probabilities[a]);
  const [first, second] = order;
  const sure = probabilities[first] >= content.sure;
  paintPixels(element("seen"), pixels);
  const listed = rows.length < content.names.length ? order : content.names.keys();
  [...listed].slice(0, rows.length).forEach((one, i) => {
    rows[i].name.textContent = content.names[one];
    showBar(rows[i], probabilities[one], one === first);
  });
  element("says").className = sure ? "says sure" : "says unsure";
  const percents = percent(probabilities[first]);
  const other = `${content.names[second]} has ${percent(probabilities[second])}`;
  say(content.names[first], sure ? `${percents} sure` : `unsure: ${percents}, and ${other}`);
}

function showBar({ row, bar, share }, probability, first) {
  bar.style.setProperty("--share", probability ?? 0);
  share.textContent = probability === null ? "" : percent(probability);
  row.classList.toggle("first", first);
}

/** With one decimal, and never rounded up to 100%. */
function percent(probability) {
  return `${(Math.floor(probability * 1000) / 10).toFixed(1)}%`;
}

/** Shows the answer and a line about it; a screen reader says them once the pen is calm. */
function say(name, line) {
  element("answer").textContent = name;
  element("answer").classList.toggle("long", name.length > 3);
  element("verdict").textContent = line;
  clearTimeout(calm);
  calm = setTimeout(() => { element("spoken").textContent = `${name} ${line}`.trim(); }, CALM);
}

// --- examples

/** Puts an example below the pen, or takes it away with null or its own number. */
function trace(number) {
  traced = number === traced ? null : number;
  document.querySelectorAll("#examples button").forEach((button, i) => {
    button.setAttribute("aria-pressed", i === traced);
  });
  if (traced !== null && !isBlank()) act({});
  changed();
}

// --- mouse, finger and pen

/** Where a pointer is, in pixels of the paper. */
function position({ clientX, clientY }) {
  const { left, top, width, height } = paper.getBoundingClientRect();
  return [((clientX - left) / width) * SIDE, ((clientY - top) / height) * SIDE];
}

paper.addEventListener("pointerdown", (event) => {
  if (!event.isPrimary || event.button !== 0) return;
  paper.setPointerCapture(event.pointerId);
  hideCursor();
  setPen(position(event));
});

paper.addEventListener("pointermove", (event) => {
  if (!stroke || cursor || !event.isPrimary) return;
  const between = event.getCoalescedEvents?.() ?? [];
  (between.length ? between : [event]).forEach((one) => movePen(position(one)));
});

["pointerup", "pointercancel"].forEach((type) => {
  paper.addEventListener(type, (event) => {
    if (event.isPrimary && !cursor) liftPen();
  });
});

// --- keyboard

function hideCursor() {
  cursor = null;
  held.clear();
  liftPen();
  changed();
}

function moveCursor(small) {
  const step = small ? SMALL_STEP : STEP;
  const [dx, dy] = [...held].reduce(([x, y], key) => [x + ARROWS[key][0], y + ARROWS[key][1]], [0, 0]);
  cursor = [clamp(cursor[0] + dx * step, 0, SIDE), clamp(cursor[1] + dy * step, 0, SIDE)];
  if (stroke) movePen(cursor);
}

paper.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (!ARROWS[event.key] && event.key !== " ") return;
  event.preventDefault();
  cursor ??= [SIDE / 2, SIDE / 2];
  if (ARROWS[event.key]) {
    held.add(event.key);
    moveCursor(event.shiftKey);
  } else if (!event.repeat) {
    if (stroke) liftPen();
    else setPen(cursor);
  }
  changed();
});

paper.addEventListener("keyup", (event) => held.delete(event.key));
paper.addEventListener("blur", hideCursor);

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z") {
    event.preventDefault();
    undo();
  } else if (event.key === "Delete" || event.key === "Backspace") {
    event.preventDefault();
    clear();
  }
});

// --- buttons, files

element("undo").addEventListener("click", undo);
element("clear").addEventListener("click", clear);
element("choose").addEventListener("click", () => element("file").click());
element("file").addEventListener("change", ({ target }) => {
  readFirstPhoto(target.files);
  target.value = ""; // so that the same file may be chosen again
});
document.addEventListener("paste", (event) => readFirstPhoto(event.clipboardData.files));

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  element("frame").classList.add("over");
});
document.addEventListener("dragleave", ({ relatedTarget }) => {
  if (!relatedTarget) element("frame").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  element("frame").classList.remove("over");
  readFirstPhoto(event.dataTransfer.files);
});

document.querySelectorAll("#examples button").forEach((button, i) => {
  paintPixels(button.querySelector("canvas"), examples[i]);
  button.addEventListener("click", () => {
    trace(i);
    if (traced !== null) element("frame").scrollIntoView({ block: "nearest" });
  });
});

new ResizeObserver(changed).observe(paper);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
changed();
