// The networks that are trained, with what goes in and what comes out. peers/torch_peer.py has the same by the same names.
import { models, nn, randint, randn } from "gradtape";

/** What the fast model of Sermanet et al. 2013, https://arxiv.org/abs/1312.6229, computes, without its dropout. */
class OverFeat extends nn.Module {
  constructor() {
    super();
    const conv = (inputs, outputs, kernelSize, options) =>
      new nn.Conv2d(inputs, outputs, kernelSize, { activation: "relu", ...options });
    this.features = new nn.Sequential(
      ...[conv(3, 96, 11, { stride: 4 }), new nn.MaxPool2d(2)],
      ...[conv(96, 256, 5), new nn.MaxPool2d(2)],
      ...[conv(256, 512, 3, { padding: 1 }), conv(512, 1024, 3, { padding: 1 })],
      ...[conv(1024, 1024, 3, { padding: 1 }), new nn.MaxPool2d(2)],
    );
    this.classifier = new nn.Sequential(
      hidden(1024 * 6 * 6, 3072),
      hidden(3072, 4096),
      new nn.Linear(4096, 1000),
    );
  }
  forward(x) {
    return this.classifier.forward(this.features.forward(x).flatten({ startDim: 1 }));
  }
}

/** Five 3x3 convolutions with batch norm and ReLU, for images of 32x32. */
class CifarCnn extends nn.Module {
  constructor() {
    super();
    const conv = (inputs, outputs) => [
      new nn.Conv2d(inputs, outputs, 3, { padding: 1, bias: false }),
      new nn.BatchNorm2d(outputs, { relu: true }),
    ];
    this.features = new nn.Sequential(
      ...[...conv(3, 32), ...conv(32, 32), new nn.MaxPool2d(2)],
      ...[...conv(32, 64), ...conv(64, 64), new nn.MaxPool2d(2)],
      ...conv(64, 128),
    );
    this.head = new nn.Linear(128, 10);
  }
  forward(x) {
    return this.head.forward(this.features.forward(x).mean({ dim: [2, 3] }));
  }
}

const hidden = (inputs, outputs) => new nn.Linear(inputs, outputs, { activation: "relu" });
const image = (size, channels = 3) => [channels, size, size];

/** make() → the module; input: the shape of one sample; classes. */
const table = {
  mlp: {
    make: () => new nn.Sequential(hidden(64, 64), hidden(64, 64), new nn.Linear(64, 10)),
    input: [64],
    classes: 10,
  },
  "mlp-images": {
    make: () => new nn.Sequential(hidden(784, 512), hidden(512, 512), new nn.Linear(512, 10)),
    input: [784],
    classes: 10,
  },
  "mlp-wide": {
    make: () => new nn.Sequential(hidden(1024, 2048), hidden(2048, 2048), new nn.Linear(2048, 10)),
    input: [1024],
    classes: 10,
  },
  lenet5: {
    make: () => models.lenet5({ numClasses: 10, inputSize: 28 }),
    input: image(28, 1),
    classes: 10,
  },
  "cifar-cnn": { make: () => new CifarCnn(), input: image(32), classes: 10 },
  overfeat: { make: () => new OverFeat(), input: image(231) },
};

/** A network by name, its input and its targets for a batch. */
export function network(name, batch, device) {
  const make = table[name]?.make ?? models[name];
  if (typeof make !== "function") throw new Error(`no network is called ${name}`);
  const { input = image(224), classes = 1000 } = table[name] ?? {};
  return {
    model: make().to(device),
    input: () => randn([batch, ...input], { device }),
    target: () => randint(0, classes, [batch], { device }),
    classes,
  };
}

/** The logits, also of a network that gives them with more beside. */
export const logits = (result) => result.logits ?? result;
