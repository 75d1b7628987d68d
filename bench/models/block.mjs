// Forward and backward of blocks of residual networks at batch 16, with batch norm in training mode: a 3x3 convolution of 64 channels
// with norm and ReLU, and the bottleneck of ResNet-50, both on 56x56.
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

class Bottleneck extends nn.Module {
  reduce = new nn.Conv2d(256, 64, 1, { bias: false });
  norm1 = new nn.BatchNorm2d(64, { relu: true });
  conv = new nn.Conv2d(64, 64, 3, { padding: 1, bias: false });
  norm2 = new nn.BatchNorm2d(64, { relu: true });
  expand = new nn.Conv2d(64, 256, 1, { bias: false });
  norm = new nn.BatchNorm2d(256, { relu: true });
  forward(x) {
    const h = this.norm1.forward(this.reduce.forward(x));
    return this.norm.forward(this.expand.forward(this.norm2.forward(this.conv.forward(h))), x);
  }
}

function block(Model, channels, dtype) {
  manualSeed(1);
  const model = new Model().to(device);
  // The layout that a convolution before this block would have produced.
  const layout = new nn.Conv2d(channels, channels, 1, { bias: false }).to(device);
  const input = () => noGrad(() => layout.forward(randn([16, channels, 56, 56], { device })).to(dtype));
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
    prepare: () => block(Block, 64, "float32"),
  },
  {
    name: "block-bfloat16",
    title: "conv-BN-ReLU as in block, autocast to bfloat16",
    peers: ["channels_last", "default"],
    beside: "block",
    prepare: () => block(Block, 64, "bfloat16"),
  },
  {
    name: "bottleneck",
    title: "bottleneck block 256-64-64-256, 56x56, batch 16, forward and backward",
    peers: ["channels_last", "default"],
    prepare: () => block(Bottleneck, 256, "float32"),
  },
  {
    name: "bottleneck-bfloat16",
    title: "the block of bottleneck, autocast to bfloat16",
    peers: ["channels_last", "default"],
    beside: "bottleneck",
    prepare: () => block(Bottleneck, 256, "bfloat16"),
  },
];
