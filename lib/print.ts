// How tensors look as text: NumPy's layout (aligned columns, four digits, scientific notation where sizes differ much,
// only the edges of large tensors), with what matters and cannot be seen behind it.
import { isFloat } from "./dtype.js";
import { kernels } from "./native.js";
import { numelOf } from "./shape.js";
import { allocate, allocateView, type Tensor } from "./tensor.js";

const precision = 4;
const lineWidth = 75;
/** Tensors of more elements show only `edgeItems` at both ends of each dimension. */
const threshold = 1000;
const edgeItems = 3;

/**
 * The text of a tensor, such as `tensor([[1., 2.], [3., 4.]])`. The dtype is shown unless it is float32 or bool, the
 * shape where elements are left out or missing.
 */
export function formatTensor(t: Tensor): string {
  const summarized = t.numel > threshold;
  const shown = summarized ? edges(t) : t;
  const values = Array.from<number | bigint>(shown.dataSync());
  const words = formatValues(t, values);
  if (shown !== t) shown.dispose();

  const extras: string[] = [];
  if (summarized || (t.numel === 0 && t.rank > 1)) extras.push(`shape=[${t.shape.join(", ")}]`);
  if (t.dtype !== "float32" && (t.dtype !== "bool" || t.numel === 0)) extras.push(`dtype=${t.dtype}`);
  if (t.requiresGrad) extras.push("requiresGrad=true");

  const prefix = "tensor(";
  const indent = " ".repeat(prefix.length);
  const body = t.numel === 0 ? "[]" : nested(words, shown.shape, t.shape, `${indent} `);
  let text = prefix + body;
  if (extras.length > 0) {
    const tail = extras.join(", ");
    const last = text.length - (text.lastIndexOf("\n") + 1);
    text += last + tail.length + 3 > lineWidth ? `,\n${indent}${tail}` : `, ${tail}`;
  }
  return `${text})`;
}

/** The first and last elements of each long dimension, as a tensor that is cheap to read. */
function edges(t: Tensor): Tensor {
  let part = t;
  for (let dim = 0; dim < t.rank; dim++) {
    if (t.shape[dim] <= 2 * edgeItems) continue;
    const shape = part.shape.slice();
    shape[dim] = 2 * edgeItems;
    const half = part.shape.slice();
    half[dim] = edgeItems;
    const y = allocate(shape, t.dtype, t.device);
    for (const [to, from] of [
      [0, 0],
      [edgeItems, t.shape[dim] - edgeItems],
    ]) {
      const source = allocateView(part, half, part.strides, from * part.strides[dim]);
      const target = allocateView(y, half, y.strides, to * y.strides[dim]);
      kernels.copy(source.id, target.id);
      source.dispose();
      target.dispose();
    }
    if (part !== t) part.dispose();
    part = y;
  }
  return part;
}

/** Brackets around words, rows broken at the line width, an ellipsis where `shown` is less than `full`. */
function nested(
  words: readonly string[],
  shown: readonly number[],
  full: readonly number[],
  indent: string,
): string {
  const build = (dim: number, first: number, indent: string, width: number): string => {
    const left = shown.length - dim;
    if (left === 0) return words[first];
    const size = shown[dim];
    const step = numelOf(shown.slice(dim + 1));
    const items: string[] = [];
    for (let i = 0; i < size; i++) {
      if (i === edgeItems && full[dim] > size) items.push("...");
      items.push(build(dim + 1, first + i * step, `${indent} `, width - 1));
    }
    if (left > 1) return `[${items.join(`,${"\n".repeat(left - 1)}${indent}`)}]`;
    let text = "";
    let line = indent;
    items.forEach((item, i) => {
      if (line.length + item.length > width - 1 && line.length > indent.length) {
        text += `${line.trimEnd()}\n`;
        line = indent;
      }
      line += i + 1 < items.length ? `${item}, ` : item;
    });
    return `[${(text + line).slice(indent.length)}]`;
  };
  return build(0, 0, indent, lineWidth - 1);
}

function formatValues(t: Tensor, values: readonly (number | bigint)[]): string[] {
  if (isFloat(t.dtype)) return formatFloats(values as number[], t.dtype === "float32");
  const words = values.map((v) => (t.dtype === "bool" ? String(v !== 0) : String(v)));
  return padStart(words);
}

function padStart(words: readonly string[]): string[] {
  const width = Math.max(0, ...words.map((w) => w.length));
  return words.map((w) => w.padStart(width));
}

/** NumPy's rule: scientific if a value is too large for its digits, below 1e-4, or 1000 times another one. */
function formatFloats(values: readonly number[], single: boolean): string[] {
  const round = single ? Math.fround : (x: number) => x;
  const sizes = values.filter((v) => Number.isFinite(v) && v !== 0).map(Math.abs);
  const max = Math.max(...sizes);
  const min = Math.min(...sizes);
  const scientific = sizes.length > 0 && (max >= (single ? 1e6 : 1e8) || min < 1e-4 || max / min > 1000);
  const finite = values.filter(Number.isFinite);
  const texts = scientific ? scientificTexts(finite, round) : positionalTexts(finite, round);
  let at = 0;
  return padStart(
    values.map((v) => {
      if (Number.isNaN(v)) return "nan";
      if (!Number.isFinite(v)) return v > 0 ? "inf" : "-inf";
      return texts[at++];
    }),
  );
}

/** The fewest digits behind the point, at most four, that tell a value from its neighbours. */
function digitsOf(v: number, text: (digits: number) => string, round: (x: number) => number): number {
  for (let digits = 0; digits < precision; digits++) if (round(Number(text(digits))) === v) return digits;
  return precision;
}

function signed(v: number, text: string): string {
  return Object.is(v, -0) ? `-${text}` : text;
}

function positionalTexts(values: readonly number[], round: (x: number) => number): string[] {
  const fractions = values.map((v) => {
    const digits = digitsOf(v, (d) => v.toFixed(d), round);
    const text = signed(v, v.toFixed(digits));
    return digits === 0 ? `${text}.` : text.replace(/0+$/, "");
  });
  const width = Math.max(0, ...fractions.map((f) => f.length - f.indexOf(".")));
  return fractions.map((f) => f.padEnd(f.indexOf(".") + width));
}

function scientificTexts(values: readonly number[], round: (x: number) => number): string[] {
  const digits = Math.max(0, ...values.map((v) => digitsOf(v, (d) => v.toExponential(d), round)));
  const parts = values.map((v) => signed(v, v.toExponential(digits)).split("e"));
  const width = Math.max(2, ...parts.map(([, exponent]) => exponent.length - 1));
  return parts.map(([mantissa, exponent]) => {
    const point = digits === 0 ? "." : "";
    return `${mantissa}${point}e${exponent[0]}${exponent.slice(1).padStart(width, "0")}`;
  });
}
