// Forward and backward of a ResNet-style block: 3x3 convolution, batch norm in training mode, ReLU; 64 channels, 56x56, batch 16.
// The input requires grad, as inside a network; under autocast it has the type that a block before this one gives it.
import { autocast, manualSeed, nn, noGrad, randn, tidy } from "gradtape";
import { device } from "../support/device.mjs";

class Block extends nn.Module {
  conv = new nn.Conv2d(64, 64, 3, { padding: 1, bias: false });
  norm = new nn.BatchNorm2d(64, { relu: true });
  forward(x) {
    return this.norm.forward(this.conv.forward(x));
  }
}

function block(dtype) {
  manualSeed(1);
  const model = new Block().to(device);
  // The layout that a convolution before this block would have produced.
  const layout = new nn.Conv2d(64, 64, 1, { bias: false }).to(device);
  const input = () => noGrad(() => layout.forward(randn([16, 64, 56, 56], { device })).to(dtype));
  const run =
    dtype === "float32" ? (x) => model.forward(x) : (x) => autocast({ dtype }, () => model.forward(x));
  const x = input().requiresGrad_();
  const dy = input();
  return {
    step: () =>
      tidy(() => {
        model.zeroGrad();
        x.grad?.dispose();
        x.grad = null;
        run(x).backward(dy);
      }),
    finish: () => tidy(() => model.norm.bias.grad?.sum().itemSync()),
  };
}

export const benchmarks = [
  {
    name: "block",
    title: "conv-BN-ReLU, 64 channels, 56x56, batch 16, forward and backward",
    peers: ["channels_last", "default"],
    prepare: () => block("float32"),
  },
  {
    name: "block-bfloat16",
    title: "conv-BN-ReLU as in block, autocast to bfloat16",
    peers: ["channels_last", "default"],
    beside: "block",
    prepare: () => block("bfloat16"),
  },
];
