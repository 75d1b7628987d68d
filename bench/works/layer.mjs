// Forward and backward of one layer or block, with a given gradient of its output. The input requires grad, as inside a network; under
// autocast it has the type that a block before this one gives it.
import { autocast, manualSeed, nn, noGrad, randn, tidy } from "gradtape";

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

class Recurrent extends nn.Module {
  constructor(numLayers) {
    super();
    this.lstm = new nn.LSTM(650, 650, { numLayers });
  }
  forward(x) {
    return this.lstm.forward(x).output;
  }
}

const layers = {
  block: { make: () => new Block(), input: [16, 64, 56, 56] },
  bottleneck: { make: () => new Bottleneck(), input: [16, 256, 56, 56] },
  lstm: { make: ({ layers }) => new Recurrent(layers), input: [35, 20, 650] },
  conv: {
    make: ({ inputs, outputs, kernel }) => new nn.Conv2d(inputs, outputs, kernel),
    input: ({ batch, inputs, size }) => [batch, inputs, size, size],
  },
};

/** { layer, dtype, … }: what else a layer needs is in the table above. */
export function prepare({ layer: name, dtype = "float32", ...sizes }, { device }) {
  manualSeed(1);
  const layer = layers[name];
  const model = layer.make(sizes).to(device);
  const shape = typeof layer.input === "function" ? layer.input(sizes) : layer.input;
  const run =
    dtype === "float32" ? (x) => model.forward(x) : (x) => autocast({ dtype }, () => model.forward(x));
  const x = inNetwork(shape, dtype, device).requiresGrad_();
  const dy = tidy(() => inNetwork(noGrad(() => run(x)).shape, dtype, device));
  const [first] = model.parameters();
  return {
    step: () =>
      tidy(() => {
        model.zeroGrad();
        x.grad?.dispose();
        x.grad = null;
        run(x).backward(dy);
      }),
    finish: () => tidy(() => first.grad?.sum().itemSync()),
  };
}

/** Random numbers in the layout that a convolution before would have produced. */
function inNetwork(shape, dtype, device) {
  if (shape.length !== 4) return randn(shape, { device });
  const layout = new nn.Conv2d(shape[1], shape[1], 1, { bias: false }).to(device);
  return noGrad(() => layout.forward(randn(shape, { device })).to(dtype));
}

/** Floating-point operations of forward and backward of a convolution, of which each product appears three times. */
export function amounts({ layer, batch, inputs, outputs, kernel, size }) {
  if (layer !== "conv") return {};
  const products = batch * inputs * outputs * kernel ** 2 * (size - kernel + 1) ** 2;
  return { flops: 3 * 2 * products };
}
