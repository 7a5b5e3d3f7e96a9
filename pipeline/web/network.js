// The network: from the pixels of an image to a probability for each class, layer by layer.
//
// A tensor is {values, shape}: numbers in row-major order, and (height, width, channels), (height,
// width) or (features). pipeline/training/portable.py writes the layers and their weights.

"use strict";

/** The network that `description` says: its layers, each with its weights as typed arrays. */
function decodeNetwork(description) {
  const numbers = decodeNumbers(description.weights, description.numbers);
  let start = 0;
  const layers = description.layers.map((layer) => ({
    ...layer,
    weights: layer.shapes.map((shape) => {
      const size = shape.reduce((product, length) => product * length, 1);
      start += size;
      return numbers.subarray(start - size, start);
    }),
  }));
  return { shape: description.shape, layers };
}

/** Base64 of little-endian floating-point numbers, "float16" or "float32", as a Float32Array. */
function decodeNumbers(base64, kind) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  if (kind === "float32") {
    return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
  }
  return Float32Array.from({ length: bytes.length / 2 }, (_, i) => half(view.getUint16(2 * i, true)));
}

/** The value of the 16 bits of an IEEE 754 half: a sign, 5 bits of exponent, 10 of fraction. */
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  return sign * (exponent ? (1 + fraction) * 2 ** (exponent - 15) : fraction * 2 ** -14);
}

/** A score for each class. `pixels` are raw, 0 to 255, in rows. */
function logits(network, pixels) {
  const input = { values: Float64Array.from(pixels), shape: network.shape };
  return network.layers.reduce((tensor, layer) => LAYERS[layer.kind](tensor, layer), input).values;
}

/** The probabilities that the scores stand for, which sum to 1. */
function softmax(scores) {
  const largest = Math.max(...scores);
  const powers = Array.from(scores, (score) => Math.exp(score - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

const LAYERS = {
  Rescaling: ({ values, shape }, { scale, offset }) => ({
    values: values.map((value) => value * scale + offset),
    shape,
  }),
  Reshape: ({ values }, { shape }) => ({ values, shape }),
  Flatten: ({ values }) => ({ values, shape: [values.length] }),
  ReLU: ({ values, shape }) => ({ values: rectified(values), shape }),
  BatchNormalization: batchNormalized,
  Dense: dense,
  Conv2D: convolved,
  MaxPooling2D: pooled,
  GlobalAveragePooling2D: averaged,
};

function rectified(values) {
  return values.map((value) => Math.max(0, value));
}

/** Batch normalization at inference: a factor and an offset for each channel. */
function batchNormalized({ values, shape }, { weights: [factors, offsets] }) {
  const channels = factors.length;
  return {
    values: values.map((value, i) => value * factors[i % channels] + offsets[i % channels]),
    shape,
  };
}

/** A fully connected layer. The kernel is (inputs, units). */
function dense({ values }, { weights: [kernel, bias], units, relu }) {
  const sums = bias ? Float64Array.from(bias) : new Float64Array(units);
  values.forEach((value, input) => {
    if (value) addProducts(sums, 0, value, kernel, input * units, units);
  });
  return { values: relu ? rectified(sums) : sums, shape: [units] };
}

/** A 3x3 convolution with padding, so that the image keeps its size. The kernel is (3, 3, channels, units). */
function convolved({ values, shape: [height, width, channels] }, { weights: [kernel, bias], units, relu }) {
  const sums = new Float64Array(height * width * units);
  if (bias) sums.forEach((_, i) => { sums[i] = bias[i % units]; });
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const target = (y * width + x) * units;
      for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
        for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++) {
          const source = (row * width + column) * channels;
          const tap = ((row - y + 1) * 3 + column - x + 1) * channels;
          for (let channel = 0; channel < channels; channel++) {
            const value = values[source + channel];
            if (value) addProducts(sums, target, value, kernel, (tap + channel) * units, units);
          }
        }
      }
    }
  }
  return { values: relu ? rectified(sums) : sums, shape: [height, width, units] };
}

/** Adds `value` times `count` weights of the kernel to as many sums. */
function addProducts(sums, target, value, kernel, start, count) {
  for (let i = 0; i < count; i++) sums[target + i] += value * kernel[start + i];
}

/** The average of each channel over the image. */
function averaged({ values, shape: [height, width, channels] }) {
  const means = new Float64Array(channels);
  values.forEach((value, i) => { means[i % channels] += value / (height * width); });
  return { values: means, shape: [channels] };
}

/** The maximum of each 2x2 square; those on the edge may lack a row or a column. */
function pooled({ values, shape: [height, width, channels] }) {
  const rows = Math.ceil(height / 2);
  const columns = Math.ceil(width / 2);
  const largest = new Float64Array(rows * columns * channels).fill(-Infinity);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const source = (y * width + x) * channels;
      const target = ((y >> 1) * columns + (x >> 1)) * channels;
      for (let channel = 0; channel < channels; channel++) {
        const value = values[source + channel];
        if (value > largest[target + channel]) largest[target + channel] = value;
      }
    }
  }
  return { values: largest, shape: [rows, columns, channels] };
}
