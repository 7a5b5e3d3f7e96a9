// Ink: strokes of a pen as pixels, which are the same in every browser.

"use strict";

const SIDE = 208; // pixels of the paper, across and down
const NIB = 15; // pixels across
const MARGIN = 8; // pixels around the paper, so that no stroke touches the edge of the picture

/** The paper as a picture for handwriting.js: dark ink on white. */
function pictureOf(ink) {
  const light = map(blank(SIDE, SIDE), (_, i) => 255 - ink[i]);
  return padded(light, MARGIN, 255);
}

/** Paper of SIDE rows of SIDE pixels: 0 is blank, 255 is ink. */
function blankPaper() {
  return new Uint8Array(SIDE * SIDE);
}

/** Draws a stroke, points [x, y] from the top left corner, onto `ink`. */
function drawStroke(ink, points) {
  points.forEach((point, i) => drawSegment(ink, points[Math.max(0, i - 1)], point));
}

/** Draws a line with round ends from one point to another. A pixel on its edge is partly covered. */
function drawSegment(ink, [x0, y0], [x1, y1]) {
  const reach = NIB / 2 + 1;
  const [left, right] = [Math.min(x0, x1) - reach, Math.max(x0, x1) + reach].map(onPaper);
  const [top, bottom] = [Math.min(y0, y1) - reach, Math.max(y0, y1) + reach].map(onPaper);
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const away = distance(x + 0.5, y + 0.5, x0, y0, x1, y1);
      const covered = Math.round(255 * clamp(NIB / 2 + 0.5 - away, 0, 1));
      if (covered > ink[y * SIDE + x]) ink[y * SIDE + x] = covered;
    }
  }
}

/** How far (x, y) is from the line between (x0, y0) and (x1, y1). */
function distance(x, y, x0, y0, x1, y1) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const squared = dx * dx + dy * dy;
  const along = squared ? clamp(((x - x0) * dx + (y - y0) * dy) / squared, 0, 1) : 0;
  return Math.sqrt((x - x0 - along * dx) ** 2 + (y - y0 - along * dy) ** 2);
}

function onPaper(position) {
  return clamp(Math.round(position), 0, SIDE - 1);
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
