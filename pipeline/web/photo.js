// A photo as a picture for handwriting.js.

"use strict";

/** The pixels of a canvas in grey, as Pillow converts them; what is transparent is paper. */
function greyOf({ data, height, width }) {
  const picture = blank(height, width);
  const grey = map(picture, (_, i) => luma(data[4 * i], data[4 * i + 1], data[4 * i + 2]));
  const paper = isLight(grey, data) ? 0 : 255;
  return map(grey, (value, i) => Math.round(paper + ((value - paper) * data[4 * i + 3]) / 255));
}

/** Brightness by ITU-R Recommendation BT.601, in whole numbers. */
function luma(red, green, blue) {
  return (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16;
}

/** Whether there is transparency, and most of what is opaque is light. */
function isLight(grey, data) {
  const opaque = grey.values.filter((_, i) => data[4 * i + 3] > 127).sort();
  return opaque.length < grey.values.length && opaque[opaque.length >> 1] > 127;
}
