// Plain float64 arrays: what op references are written with. Slow and obvious on purpose.

export interface Nd {
  shape: number[];
  data: Float64Array;
}

export function nd(shape: readonly number[], data?: ArrayLike<number>): Nd {
  const n = shape.reduce((a, b) => a * b, 1);
  return { shape: [...shape], data: data ? Float64Array.from(data) : new Float64Array(n) };
}

export function rowMajor(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  for (let i = shape.length - 1, step = 1; i >= 0; step *= shape[i--]) strides[i] = step;
  return strides;
}

/** Calls visit for every index of a shape, in row-major order. The index array is reused. */
export function eachIndex(shape: readonly number[], visit: (index: number[], flat: number) => void): void {
  const n = shape.reduce((a, b) => a * b, 1);
  const index = new Array<number>(shape.length).fill(0);
  for (let flat = 0; flat < n; flat++) {
    visit(index, flat);
    for (let i = shape.length - 1; i >= 0 && ++index[i] === shape[i]; i--) index[i] = 0;
  }
}

export function at(x: Nd, index: readonly number[]): number {
  let offset = 0;
  const strides = rowMajor(x.shape);
  for (let i = 0; i < index.length; i++) offset += index[i] * strides[i];
  return x.data[offset];
}

/** The element of `x` that index of a broadcast result reads. */
export function atBroadcast(x: Nd, index: readonly number[]): number {
  const lead = index.length - x.shape.length;
  return at(
    x,
    x.shape.map((size, i) => (size === 1 ? 0 : index[i + lead])),
  );
}

export function broadcastShape(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const p = a[i - rank + a.length] ?? 1;
    const q = b[i - rank + b.length] ?? 1;
    return p === 1 ? q : p;
  });
}

export function build(shape: readonly number[], f: (index: number[]) => number): Nd {
  const y = nd(shape);
  eachIndex(shape, (index, flat) => {
    y.data[flat] = f(index);
  });
  return y;
}

export function map(x: Nd, f: (v: number) => number): Nd {
  return nd(x.shape, x.data.map(f));
}

export function zip(a: Nd, b: Nd, f: (p: number, q: number) => number): Nd {
  return build(broadcastShape(a.shape, b.shape), (i) => f(atBroadcast(a, i), atBroadcast(b, i)));
}
