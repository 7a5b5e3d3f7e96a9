// MNIST's form of a handwritten digit, made from a photo or a drawing of one.
//
// This is pipeline/data/handwriting.py in JavaScript, function by function, and it makes the same
// pixels; that file gives the reasons and the sources. A picture is {height, width, values}: whole
// numbers in rows, 0 to 255 in grey, 1 and 0 in a mask. Numbers are IEEE doubles in both.

"use strict";

const LARGEST = 512;
const BOX = 20;
const FINE = 8;
const PEN = 2.4;
const WINDOW = 10;
const COARSE = 32;
const BLANK = 25;
const DARKEST = 98;
const FAINT = 0.4;
const SPECK = 20;
const EDGE = 10;
const DIGIT = 0.6;
const DASH = 3.5;

/** The digits in a picture in MNIST's form, {height, width}, in the order in which they are read. */
function digits(picture, form) {
  if (inForm(picture, form)) return [picture];
  const ink = darkness(darkOnLight(picture));
  const level = inkLevel(ink);
  if (level === null) return [];
  const parts = partsOf(withoutSpecks(map(ink, (value) => value > level)));
  const strokes = parts.map((part) => strokesOf(ink, part, level, boxOf(form)));
  return strokes.filter((one) => !isBlot(one)).map((one) => normalized(one, form));
}

function inForm(picture, form) {
  if (picture.height !== form.height || picture.width !== form.width) return false;
  const strokes = map(picture, (value) => value >= 16);
  const edges = edgesOf(picture).map((i) => picture.values[i]);
  if (sum(edges) / edges.length >= 16 || !strokes.values.includes(1)) return false;
  const box = boxOf(form);
  const longest = longerSide(crop(strokes));
  if (longest < 0.9 * box || longest > box) return false;
  return [rowSums(picture), columnSums(picture)].every(
    (mass) => Math.abs(offCentre(mass, mass.length)) <= 1,
  );
}

function darkOnLight(picture) {
  const coarse = scaled(picture, Math.min(COARSE, longerSide(picture)));
  const around = medianFiltered(coarse, (longerSide(coarse) >> 1) | 1);
  const cubes = map(coarse, (value, i) => (value - around.values[i]) ** 3);
  return sum(cubes.values) > 0 ? map(picture, (value) => 255 - value) : picture;
}

function darkness(picture) {
  const side = 2 * Math.max(1, Math.floor(longerSide(picture) / WINDOW)) + 1;
  const paper = closed(picture, side);
  return map(picture, (value, i) => {
    const light = paper.values[i];
    return Math.floor(((light - value) * 255) / Math.max(light, 1));
  });
}

function inkLevel(ink) {
  const level = otsu(ink);
  const above = ink.values.filter((value) => value > level).sort();
  if (!above.length) return null;
  const darkest = above[Math.floor((above.length * DARKEST) / 100)];
  return darkest < BLANK ? null : Math.max(level, Math.floor(darkest * FAINT));
}

function otsu(ink) {
  const counts = new Float64Array(256);
  ink.values.forEach((value) => { counts[value] += 1; });
  const [total, allWeight] = [sum(counts), moment(counts)];
  let [below, weight] = [0, 0];
  const between = counts.map((count, value) => {
    below += count;
    weight += count * value;
    if (!below || below === total) return 0;
    const difference = allWeight * below - total * weight;
    return (difference * difference) / (below * (total - below));
  });
  const most = largest(between);
  return (between.indexOf(most) + between.lastIndexOf(most)) >> 1;
}

function withoutSpecks(ink) {
  const { components, sizes } = labelled(ink);
  const inside = sizes.slice();
  edgesOf(ink).forEach((i) => { inside[components[i]] = 0; });
  const counted = EDGE * largest(inside) >= largest(sizes) ? inside : sizes;
  const least = Math.max(1, largest(counted));
  return map(ink, (_, i) => SPECK * counted[components[i]] >= least);
}

function partsOf(ink) {
  const found = runs(rowSums(ink)).flatMap((rows) =>
    runs(columnSums(cut(ink, rows, [0, ink.width]))).map((columns) => [rows, columns]),
  );
  if (found.length === 1) return [ink];
  const sides = found.map((place) => longerSide(crop(cut(ink, ...place))));
  const least = Math.max(DIGIT * largest(sides), DASH * penWidth(ink));
  const large = found.filter((_, i) => sides[i] >= least);
  return large.length > 1 ? large.map((place) => within(ink, ...place)) : [ink];
}

function penWidth(ink) {
  const around = padded(crop(ink), 1, 0); // there is no nearer paper beyond
  const squares = squaredDistances(map(around, (value) => !value)).values;
  const sorted = squares.filter((_, i) => around.values[i]).sort();
  return 4 * (Math.sqrt(sorted[sorted.length >> 1]) - 0.5);
}

function strokesOf(ink, part, level, box) {
  const near = dilated(part);
  const soft = map(ink, (value, i) => (near.values[i] ? value : 0));
  const fine = scaled(cut(soft, rangeOf(rowSums(near)), rangeOf(columnSums(near))), FINE * box);
  const least = Math.min(level, Math.floor(largest(fine.values) / 2));
  return thickened(crop(map(fine, (value) => value > least)), box);
}

function isBlot(strokes) {
  const shorter = Math.min(strokes.height, strokes.width);
  const filled = 10 * sum(strokes.values) > 9 * strokes.values.length;
  return filled && 2 * shorter > longerSide(strokes);
}

function normalized(strokes, form) {
  const digit = scaled(map(strokes, (value) => value * 255), boxOf(form));
  const top = centred(rowSums(digit), form.height);
  const left = centred(columnSums(digit), form.width);
  const image = blank(form.height, form.width);
  digit.values.forEach((value, i) => {
    const [row, column] = [Math.floor(i / digit.width), i % digit.width];
    image.values[(top + row) * form.width + left + column] = value;
  });
  return image;
}

function thickened(strokes, box) {
  const missing = (PEN * longerSide(strokes)) / box - penWidth(strokes);
  if (missing <= 0) return strokes;
  const squares = squaredDistances(padded(strokes, Math.ceil(missing / 2), 0));
  return crop(map(squares, (square) => square <= (missing * missing) / 4));
}

function centred(mass, length) {
  return Math.min(Math.max(Math.ceil(-offCentre(mass, length)), 0), length - mass.length);
}

function offCentre(mass, length) {
  const total = sum(mass);
  return (2 * moment(mass) - (length - 1) * total) / (2 * total);
}

function boxOf({ height, width }) {
  return Math.floor((BOX * Math.min(height, width)) / 28);
}

function scaled(picture, side) {
  const longest = longerSide(picture);
  const size = (length) => Math.max(1, Math.floor((2 * length * side + longest) / (2 * longest)));
  const [height, width] = [size(picture.height), size(picture.width)];
  const rows = weights(picture.height, height);
  const columns = weights(picture.width, width);
  const total = sum(rows[0].map(([, weight]) => weight)) * sum(columns[0].map(([, weight]) => weight));
  const high = blank(height, picture.width);
  rows.forEach((row, y) => row.forEach(([source, weight]) => {
    for (let x = 0; x < picture.width; x++) {
      high.values[y * picture.width + x] += weight * picture.values[source * picture.width + x];
    }
  }));
  const found = blank(height, width);
  for (let y = 0; y < height; y++) {
    columns.forEach((column, x) => {
      let value = 0;
      for (const [source, weight] of column) value += weight * high.values[y * picture.width + source];
      found.values[y * width + x] = Math.floor(value / total + 0.5);
    });
  }
  return found;
}

/** For each target pixel of an axis, the source pixels and their weights. */
function weights(source, target) {
  return Array.from({ length: target }, (_, i) =>
    target <= source ? overlaps(source, target, i) : neighbours(source, target, i),
  );
}

function overlaps(source, target, i) {
  const [start, end] = [i * source, (i + 1) * source];
  const found = [];
  for (let j = Math.floor(start / target); j * target < end; j++) {
    found.push([j, Math.min(end, (j + 1) * target) - Math.max(start, j * target)]);
  }
  return found;
}

function neighbours(source, target, i) {
  const unit = 2 * target;
  const centre = Math.min(Math.max((2 * i + 1) * source - target, 0), unit * (source - 1));
  const lower = Math.floor(centre / unit);
  const part = centre - lower * unit;
  return [[lower, unit - part], [Math.min(lower + 1, source - 1), part]];
}

// --- what Python has from NumPy and SciPy

function blank(height, width) {
  return { height, width, values: new Float64Array(height * width) };
}

function map(picture, change) {
  const found = blank(picture.height, picture.width);
  for (let i = 0; i < found.values.length; i++) found.values[i] = change(picture.values[i], i);
  return found;
}

function sum(values) {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i];
  return total;
}

function largest(values) {
  return values.reduce((most, value) => Math.max(most, value), -Infinity);
}

/** The sum of each value times its position. */
function moment(values) {
  return values.reduce((total, value, i) => total + value * i, 0);
}

function rowSums({ height, width, values }) {
  return Array.from({ length: height }, (_, y) => sum(values.subarray(y * width, (y + 1) * width)));
}

function columnSums({ height, width, values }) {
  const sums = new Array(width).fill(0);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) sums[x] += values[y * width + x];
  }
  return sums;
}

function longerSide({ height, width }) {
  return Math.max(height, width);
}

/** The positions of the pixels at the edge; those of the corners twice. */
function edgesOf({ height, width }) {
  const rows = Array.from({ length: height }, (_, y) => y * width);
  const columns = Array.from({ length: width }, (_, x) => x);
  return [
    ...columns,
    ...columns.map((x) => (height - 1) * width + x),
    ...rows,
    ...rows.map((start) => start + width - 1),
  ];
}

/** From the first to after the last value that is not 0. */
function rangeOf(sums) {
  return [sums.findIndex(Boolean), sums.findLastIndex(Boolean) + 1];
}

/** The ranges of values that are not 0. */
function runs(sums) {
  const starts = sums.flatMap((value, i) => (value && !sums[i - 1] ? [i] : []));
  const ends = sums.flatMap((value, i) => (value && !sums[i + 1] ? [i + 1] : []));
  return starts.map((start, i) => [start, ends[i]]);
}

function cut(picture, [top, bottom], [left, right]) {
  const found = blank(bottom - top, right - left);
  for (let y = top; y < bottom; y++) {
    const start = y * picture.width;
    found.values.set(picture.values.subarray(start + left, start + right), (y - top) * found.width);
  }
  return found;
}

/** The smallest part with all of the ink. */
function crop(mask) {
  return cut(mask, rangeOf(rowSums(mask)), rangeOf(columnSums(mask)));
}

/** The picture inside of a rectangle, and 0 around it. */
function within(picture, [top, bottom], [left, right]) {
  const found = blank(picture.height, picture.width);
  for (let y = top; y < bottom; y++) {
    const start = y * picture.width;
    found.values.set(picture.values.subarray(start + left, start + right), start + left);
  }
  return found;
}

/** The picture with `count` rows and columns more at each side, which are `value`. */
function padded(picture, count, value) {
  const found = blank(picture.height + 2 * count, picture.width + 2 * count);
  found.values.fill(value);
  for (let y = 0; y < picture.height; y++) {
    const row = picture.values.subarray(y * picture.width, (y + 1) * picture.width);
    found.values.set(row, (y + count) * found.width + count);
  }
  return found;
}

/** The closing with a square of `side` pixels: the minima of the maxima around each pixel. */
function closed(picture, side) {
  return negative(maxima(negative(maxima(picture, side)), side));
}

function negative(picture) {
  return map(picture, (value) => -value);
}

/** The largest value in the square of `side` pixels, an odd number, around each. */
function maxima(picture, side) {
  const around = padded(picture, side >> 1, -Infinity);
  for (const step of [1, around.width]) {
    let span = 1; // each value is the maximum of so many, `step` apart
    for (; 2 * span <= side; span *= 2) takeLarger(around.values, span * step);
    takeLarger(around.values, (side - span) * step);
  }
  return cut(around, [0, picture.height], [0, picture.width]);
}

/** Makes each value the larger of itself and that `ahead` of it. */
function takeLarger(values, ahead) {
  for (let i = 0; i + ahead < values.length; i++) {
    if (values[i + ahead] > values[i]) values[i] = values[i + ahead];
  }
}

/** The median of the square of `side` pixels around each; beyond the edge, its pixels go on. */
function medianFiltered(picture, side) {
  const { height, width, values } = picture;
  const reach = side >> 1;
  const inside = (position, length) => Math.min(Math.max(position, 0), length - 1);
  const found = blank(height, width);
  const counts = new Int32Array(256); // of each value in the square
  for (let y = 0; y < height; y++) {
    const count = (column, change) => {
      for (let row = y - reach; row <= y + reach; row++) {
        counts[values[inside(row, height) * width + inside(column, width)]] += change;
      }
    };
    counts.fill(0);
    for (let column = -reach; column < reach; column++) count(column, 1);
    for (let x = 0; x < width; x++) {
      count(x + reach, 1);
      found.values[y * width + x] = medianOf(counts, side * side);
      count(x - reach, -1);
    }
  }
  return found;
}

/** The median of `total` values, an odd number, of which there are so many of each. */
function medianOf(counts, total) {
  let median = 0;
  for (let below = counts[0]; below <= total >> 1; below += counts[median]) median += 1;
  return median;
}

/** The mask and the pixels above, below, left and right of it. */
function dilated(mask) {
  const { height, width, values } = mask;
  return map(mask, (value, i) => {
    const x = i % width;
    return (
      value ||
      (x > 0 && values[i - 1]) ||
      (x < width - 1 && values[i + 1]) ||
      values[i - width] ||
      values[i + width] ||
      0
    );
  });
}

/** The connected components of a mask, from 1, and their sizes; pixels that touch are connected. */
function labelled({ height, width, values }) {
  const components = new Uint32Array(values.length);
  const sizes = [0];
  values.forEach((value, start) => {
    if (!value || components[start]) return;
    const waiting = [start];
    components[start] = sizes.length;
    let size = 0;
    while (waiting.length) {
      const i = waiting.pop();
      size += 1;
      for (const j of around(i, height, width)) {
        if (!values[j] || components[j]) continue;
        components[j] = sizes.length;
        waiting.push(j);
      }
    }
    sizes.push(size);
  });
  return { components, sizes };
}

/** The positions of the up to eight pixels around one. */
function around(i, height, width) {
  const [y, x] = [Math.floor(i / width), i % width];
  const found = [];
  for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
    for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++) {
      found.push(row * width + column);
    }
  }
  return found;
}

/** The squared distance of each pixel to the nearest one in the mask, a whole number.
 *
 * (Meijster, Roerdink and Hesselink, "A General Algorithm for Computing Distance Transforms in
 * Linear Time", 2000.)
 */
function squaredDistances(mask) {
  const { height, width } = mask;
  const vertical = verticalDistances(mask);
  const found = blank(height, width);
  const [centres, starts] = [new Int32Array(width), new Int32Array(width)];
  for (let y = 0; y < height; y++) {
    const squared = vertical.values.subarray(y * width, (y + 1) * width).map((value) => value * value);
    const to = (x, centre) => (x - centre) * (x - centre) + squared[centre];
    let last = 0;
    [centres[0], starts[0]] = [0, 0];
    for (let x = 1; x < width; x++) {
      while (last >= 0 && to(starts[last], centres[last]) > to(starts[last], x)) last -= 1;
      const start = last < 0 ? 0 : 1 + meeting(centres[last], x, squared);
      if (start < width) {
        last += 1;
        [centres[last], starts[last]] = [x, start];
      }
    }
    for (let x = width - 1; x >= 0; x--) {
      found.values[y * width + x] = to(x, centres[last]);
      if (x === starts[last]) last -= 1;
    }
  }
  return found;
}

/** The last position that is at least as near to the pixel above or below `left` as to `right`'s. */
function meeting(left, right, squared) {
  const difference = right * right - left * left + squared[right] - squared[left];
  return Math.floor(difference / (2 * (right - left)));
}

/** How many rows each pixel is from the nearest one of its column in the mask. */
function verticalDistances({ height, width, values }) {
  const found = blank(height, width);
  found.values.fill(height + width); // farther than any pixel
  values.forEach((value, i) => {
    if (value) found.values[i] = 0;
    else if (i >= width) found.values[i] = Math.min(found.values[i], found.values[i - width] + 1);
  });
  for (let i = values.length - width - 1; i >= 0; i--) {
    found.values[i] = Math.min(found.values[i], found.values[i + width] + 1);
  }
  return found;
}
