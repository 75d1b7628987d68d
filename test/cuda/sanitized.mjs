// Runs every kind of kernel once on small tensors, for compute-sanitizer, which makes everything a hundred times slower.
import {
  autocast,
  conv2d,
  cumsum,
  layerNorm,
  manualSeed,
  matmul,
  maxPool2d,
  models,
  nn,
  optim,
  randint,
  randn,
  softmax,
  sort,
  tidy,
} from "../../dist/index.js";

const device = "cuda";
manualSeed(0);
const model = models.lenet5({ numClasses: 10 }).to(device);
const optimizer = optim.adam(model.parameters(), { lr: 1e-3 });
for (let i = 0; i < 2; i++) {
  const loss = await tidy(() => {
    optimizer.zeroGrad();
    const loss = nn.functional.crossEntropy(
      model.forward(randn([3, 1, 32, 32], { device })),
      randint(0, 10, [3], { device }),
    );
    loss.backward();
    optimizer.step();
    return loss.item();
  });
  console.log(`loss ${loss}`);
}
const block = new nn.Sequential(
  new nn.Conv2d(3, 8, 3, { padding: 1 }),
  new nn.BatchNorm2d(8, { relu: true }),
  new nn.MaxPool2d(2),
).to(device);
for (const enabled of [false, true]) {
  await tidy(() => {
    const x = randn([2, 3, 9, 11], { device, requiresGrad: true });
    const y = autocast({ enabled }, () => block.forward(x));
    y.square().sum().backward();
    return x.grad.sum().item();
  });
}
for (const op of [
  (x) => softmax(x, { dim: 1 }),
  (x) => cumsum(x, { dim: 0 }),
  (x) => sort(x, { dim: 1 }).values,
  (x) => matmul(x, x.permute([1, 0])),
  (x) => layerNorm(x, [33]),
  (x) => conv2d(x.reshape([1, 1, 17, 33]), randn([4, 1, 3, 3], { device, dtype: x.dtype })),
  (x) => maxPool2d(x.reshape([1, 1, 17, 33]), 3, { stride: 2 }),
  (x) => x.sum({ dim: 0 }).add(x.mean()),
  (x) => x.gt(0).any(),
  (x) => x.indexSelect(0, randint(0, 17, [5], { device })),
]) {
  for (const dtype of ["float32", "float16", "bfloat16"]) {
    await tidy(() => op(randn([17, 33], { device, dtype })).data());
  }
}
