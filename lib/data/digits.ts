// The built-in data set: 1,797 real handwritten digits; see data/digits/README.md.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { checkBoolean, checkOptions } from "../check.js";
import { show } from "../dtype.js";
import { ArgumentError } from "../errors.js";
import { fileError } from "../io/file.js";
import { ArrayDataset } from "./dataset.js";
import { decode, type IdxArray } from "./idx.js";
import { resizeBilinear } from "./resize.js";

export interface DigitsOptions {
  /** Height and width of the images, which are 8 by 8 in the files. Default 32, the input of LeNet-5. */
  size?: 8 | 28 | 32;
  /** Subtract {@link digitsMean} and divide by {@link digitsStd}; else pixels are from 0 to 1. Default true. */
  normalize?: boolean;
}

/** Mean of the training pixels in [0, 1]. */
export const digitsMean = 0.3053;
/** Their standard deviation, at 32 by 32. */
export const digitsStd = 0.3233;

// The same from lib/ and from dist/.
const folder = new URL("../../data/digits/", import.meta.url);

/**
 * Handwritten digits: 1,437 images to train on or 360 to test with. `x` is float32 [N, 1, size, size], resized by bilinear
 * interpolation; `y` is the digit, int64 [N].
 *
 * E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits. UCI Machine Learning Repository (1998), CC BY 4.0.
 *
 * @throws {@link FileError} if the files of the package are missing or damaged.
 * @example for await (const { x, y } of data.loader(data.digits("train"), { batchSize: 64, shuffle: true })) …
 */
export function digits(split: "train" | "test", options?: DigitsOptions): ArrayDataset<"x" | "y"> {
  const op = "digits";
  const o = checkOptions(op, options, ["size", "normalize"]);
  if (split !== "train" && split !== "test") {
    throw new ArgumentError(`split must be "train" or "test", not ${show(split)}`, {
      op,
      argument: "split",
      value: split,
    });
  }
  const prefix = split === "train" ? "train" : "t10k";
  const size = o.size ?? 32;
  if (![8, 28, 32].includes(size)) {
    throw new ArgumentError(`size must be 8, 28 or 32, not ${show(size)}`, {
      op,
      argument: "size",
      value: size,
    });
  }
  const images = read(`${prefix}-images-idx3-ubyte`);
  const labels = read(`${prefix}-labels-idx1-ubyte`);
  const [count, height, width] = images.shape;
  const x = resizeBilinear(images.data, count, [height, width], [size, size]);
  const [shift, scale] = checkBoolean(op, "normalize", o.normalize ?? true)
    ? [digitsMean, digitsStd]
    : [0, 1];
  for (let i = 0; i < x.length; i++) x[i] = (x[i] / 255 - shift) / scale;
  const y = BigInt64Array.from(labels.data as Uint8Array, BigInt);
  return new ArrayDataset({ x: { data: x, shape: [1, size, size] }, y: { data: y, shape: [] } });
}

function read(name: string): IdxArray {
  const path = fileURLToPath(new URL(name, folder));
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw fileError("digits", path, "read", cause);
  }
  return decode("digits", bytes, path);
}
