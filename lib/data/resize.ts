// Resizing of images on the host.

/**
 * Resizes `count` images of height x width by bilinear interpolation between pixel centres; beyond the outermost centres the
 * edge pixels count. (PyTorch's `interpolate` with alignCorners false.)
 */
export function resizeBilinear(
  images: ArrayLike<number>,
  count: number,
  [height, width]: readonly [number, number],
  [newHeight, newWidth]: readonly [number, number],
): Float32Array {
  const rows = neighbours(height, newHeight);
  const columns = neighbours(width, newWidth);
  const out = new Float32Array(count * newHeight * newWidth);
  let at = 0;
  for (let n = 0; n < count; n++) {
    const base = n * height * width;
    for (let i = 0; i < newHeight; i++) {
      const top = base + rows.first[i] * width;
      const bottom = base + rows.second[i] * width;
      const v = rows.weight[i];
      for (let j = 0; j < newWidth; j++) {
        const left = columns.first[j];
        const right = columns.second[j];
        const u = columns.weight[j];
        const upper = images[top + left] * (1 - u) + images[top + right] * u;
        const lower = images[bottom + left] * (1 - u) + images[bottom + right] * u;
        out[at++] = upper * (1 - v) + lower * v;
      }
    }
  }
  return out;
}

/** For every new position the two old ones around it and the weight of the second. */
function neighbours(size: number, newSize: number) {
  const first = new Int32Array(newSize);
  const second = new Int32Array(newSize);
  const weight = new Float64Array(newSize);
  for (let i = 0; i < newSize; i++) {
    const position = Math.max(((i + 0.5) * size) / newSize - 0.5, 0);
    first[i] = Math.min(Math.floor(position), size - 1);
    second[i] = Math.min(first[i] + 1, size - 1);
    weight[i] = position - first[i];
  }
  return { first, second, weight };
}
