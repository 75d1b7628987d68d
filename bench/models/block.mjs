// Forward and backward of a ResNet-style block: 3x3 convolution, batch norm in training mode, ReLU; 64 channels, 56x56, batch 16.
// The input requires grad, as inside a network.
import { manualSeed, nn, noGrad, randn, tidy } from "gradtape";
import { device } from "../support/device.mjs";

class Block extends nn.Module {
  conv = new nn.Conv2d(64, 64, 3, { padding: 1, bias: false });
  norm = new nn.BatchNorm2d(64, { relu: true });
  forward(x) {
    return this.norm.forward(this.conv.forward(x));
  }
}

function block() {
  manualSeed(1);
  const model = new Block().to(device);
  // The layout that a convolution before this block would have produced.
  const layout = new nn.Conv2d(64, 64, 1, { bias: false }).to(device);
  const x = noGrad(() => layout.forward(randn([16, 64, 56, 56], { device }))).requiresGrad_();
  const dy = noGrad(() => layout.forward(randn([16, 64, 56, 56], { device })));
  return {
    step: () =>
      tidy(() => {
        model.zeroGrad();
        x.grad?.dispose();
        x.grad = null;
        model.forward(x).backward(dy);
      }),
    finish: () => tidy(() => model.norm.bias.grad?.sum().itemSync()),
  };
}

export const benchmarks = [
  {
    name: "block",
    title: "conv-BN-ReLU, 64 channels, 56x56, batch 16, forward and backward",
    peers: ["channels_last", "default"],
    prepare: block,
  },
];
