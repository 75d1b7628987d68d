// One operation without gradients, on data that does not fit into the cache unless its definition says so.
import * as gt from "gradtape";

const { noGrad, rand, randint, randn, tidy } = gt;
const { functional: F } = gt.nn;
const large = [4096, 4096];
const images = [16, 64, 56, 56];

/** What each takes: inputs(device) → tensors; run(…inputs) → a tensor. The sizes are repeated in peers/torch_peer.py. */
const operations = {
  add: [() => [randn(large), randn(large)], (a, b) => a.add(b)],
  "add-row": [() => [randn(large), randn([4096])], (a, b) => a.add(b)],
  mul: [() => [randn(large), randn(large)], (a, b) => a.mul(b)],
  relu: [() => [randn(large)], (a) => a.relu()],
  exp: [() => [randn(large)], (a) => a.exp()],
  tanh: [() => [randn(large)], (a) => a.tanh()],
  gelu: [() => [randn(large)], (a) => F.gelu(a)],
  where: [() => [randn(large), randn(large)], (a, b) => gt.where(a.gt(0), a, b)],
  "transpose-copy": [() => [randn(large)], (a) => a.transpose(0, 1).contiguous()],
  cat: [() => [randn(large), randn(large)], (a, b) => gt.concat([a, b], { dim: 1 })],
  sum: [() => [randn(large)], (a) => a.sum()],
  "sum-rows": [() => [randn(large)], (a) => a.sum({ dim: 1 })],
  "sum-columns": [() => [randn(large)], (a) => a.sum({ dim: 0 })],
  argmax: [() => [randn(large)], (a) => a.argmax({ dim: 1 })],
  cumsum: [() => [randn(large)], (a) => gt.cumsum(a, { dim: 1 })],
  softmax: [() => [randn([4096, 1000])], (a) => F.softmax(a, { dim: 1 })],
  "cross-entropy": [() => [randn([700, 10000]), randint(0, 10000, [700])], (a, y) => F.crossEntropy(a, y)],
  "layer-norm": [() => [randn([4096, 1024])], (a) => F.layerNorm(a, [1024])],
  dropout: [() => [randn(large)], (a) => F.dropout(a, { p: 0.5, training: true })],
  embedding: [() => [randint(0, 10000, [35, 20]), randn([10000, 650])], (i, w) => F.embedding(i, w)],
  "top-k": [() => [randn([256, 10000])], (a) => gt.topK(a, 10).values],
  "batch-norm": [
    () => [image(images), rand([64]), rand([64])],
    (x, w, b) => F.batchNorm(x, null, null, w, b, { training: true }),
  ],
  "max-pool": [() => [image(images)], (x) => F.maxPool2d(x, 3, { stride: 2, padding: 1 })],
  "avg-pool": [() => [image(images)], (x) => F.avgPool2d(x, 2)],
  matmul: [() => [randn([1024, 1024]), randn([1024, 1024])], (a, b) => a.matmul(b)],
  "matmul-decoder": [() => [randn([700, 650]), randn([10000, 650])], (a, w) => F.linear(a, w)],
  "matmul-batched": [() => [randn([64, 256, 64]), randn([64, 64, 256])], (a, b) => a.matmul(b)],
  "conv-3x3": [() => [image(images), randn([64, 64, 3, 3])], (x, w) => F.conv2d(x, w, null, { padding: 1 })],
  "conv-1x1": [() => [image([16, 256, 56, 56]), randn([64, 256, 1, 1])], (x, w) => F.conv2d(x, w)],
  "conv-7x7": [
    () => [image([16, 3, 224, 224]), randn([64, 3, 7, 7])],
    (x, w) => F.conv2d(x, w, null, { stride: 2, padding: 3 }),
  ],
  "conv-depthwise": [
    () => [image(images), randn([64, 1, 3, 3])],
    (x, w) => F.conv2d(x, w, null, { padding: 1, groups: 64 }),
  ],
};

export const names = Object.keys(operations);

/** In the layout of activations. */
const image = (shape) => F.maxPool2d(randn(shape), 1);

/** { operation } */
export function prepare({ operation }, { device }) {
  const [make, run] = operations[operation];
  const inputs = tidy(() => noGrad(() => make().map((t) => t.to(device))));
  const step = () => tidy(() => noGrad(() => void run(...inputs)));
  // What was enqueued before is over when this is.
  const wait = () => tidy(() => void gt.ones([1], { device }).sum().itemSync());
  return { step, finish: wait };
}

/** Bytes (every tensor once) and floating-point operations of one call, as the profiler counts them. */
export async function amounts({ operation }, { device }) {
  const [make, run] = operations[operation];
  const inputs = tidy(() => noGrad(() => make().map((t) => t.to(device))));
  const options = { device, peak: { gigabytesPerSecond: 1, gigaflops: 1 } };
  const { events } = await gt.profile(() => tidy(() => noGrad(() => void run(...inputs))), options);
  const flops = events.reduce((sum, e) => sum + e.flops, 0);
  return { bytes: events.reduce((sum, e) => sum + e.bytes, 0), flops };
}
