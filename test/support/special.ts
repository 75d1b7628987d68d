// Special functions in float64 that JavaScript's Math lacks, for references.

/** The error function: its Taylor series near 0, the continued fraction of erfc further out. */
export function erf(x: number): number {
  const t = Math.abs(x);
  if (Number.isNaN(x)) return x;
  if (t < 3) {
    let term = t;
    let total = t;
    for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(total); n++) {
      term *= (-t * t) / n;
      total += term / (2 * n + 1);
    }
    return (Math.sign(x) * total * 2) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (t + fraction);
  return Math.sign(x) * (1 - Math.exp(-t * t) / (t + fraction) / Math.sqrt(Math.PI));
}

/** The distribution function of the standard normal. */
export function normalCdf(x: number): number {
  return 0.5 * (1 + erf(x * Math.SQRT1_2));
}

export function sigmoid(x: number): number {
  return x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x));
}

export function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}
