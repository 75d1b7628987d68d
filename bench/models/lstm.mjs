// Forward and backward of LSTM layers at the size of a small language model: 35 steps, batch 20, 650 inputs and 650 hidden units. The
// input requires grad, as behind an embedding.
import { manualSeed, nn, randn, tidy } from "gradtape";
import { device } from "../support/device.mjs";

function lstm(numLayers) {
  manualSeed(1);
  const layer = new nn.LSTM(650, 650, { numLayers }).to(device);
  const x = randn([35, 20, 650], { device, requiresGrad: true });
  const dy = randn([35, 20, 650], { device });
  return {
    step: () =>
      tidy(() => {
        layer.zeroGrad();
        x.grad?.dispose();
        x.grad = null;
        layer.forward(x).output.backward(dy);
      }),
    finish: () => tidy(() => layer.weightIhL0.grad?.sum().itemSync()),
  };
}

export const benchmarks = [
  {
    name: "lstm-1",
    title: "LSTM, 35 steps, batch 20, 650 units, forward and backward",
    peers: ["default"],
    prepare: () => lstm(1),
  },
  {
    name: "lstm-2",
    title: "LSTM of 2 layers, same sizes, forward and backward",
    peers: ["default"],
    prepare: () => lstm(2),
  },
];
