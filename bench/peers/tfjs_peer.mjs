// The side of TensorFlow.js: requests and answers are lines of JSON on stdin and stdout, as in bench/worker.mjs.
import { createInterface } from "node:readline";
import { peakResidentBytes } from "../memory.mjs";
import { measure } from "../works/measure.mjs";
import { loadTensorflow } from "./tfjs_library.mjs";

const networks = (tf) => {
  const dense = (units, inputShape) =>
    tf.layers.dense({ units, activation: "relu", ...(inputShape && { inputShape }) });
  const conv = (filters, kernelSize, more) => tf.layers.conv2d({ filters, kernelSize, ...more });
  const pool = () => tf.layers.averagePooling2d({ poolSize: 2, strides: 2 });
  const sigmoid = { activation: "sigmoid" };
  const normed = (filters, more) => [
    conv(filters, 3, { padding: "same", useBias: false, ...more }),
    tf.layers.batchNormalization(),
    tf.layers.reLU(),
  ];
  const half = () => tf.layers.maxPooling2d({ poolSize: 2, strides: 2 });
  const sequence = (...layers) => tf.sequential({ layers });
  return {
    mlp: [() => sequence(dense(64, [64]), dense(64), tf.layers.dense({ units: 10 })), [64], 10],
    "mlp-images": [() => sequence(dense(512, [784]), dense(512), tf.layers.dense({ units: 10 })), [784], 10],
    lenet5: [
      () =>
        sequence(
          ...[conv(6, 5, { padding: "same", ...sigmoid, inputShape: [28, 28, 1] }), pool()],
          ...[conv(16, 5, sigmoid), pool(), tf.layers.flatten()],
          ...[120, 84].map((units) => tf.layers.dense({ units, ...sigmoid })),
          tf.layers.dense({ units: 10 }),
        ),
      [28, 28, 1],
      10,
    ],
    "cifar-cnn": [
      () =>
        sequence(
          ...[...normed(32, { inputShape: [32, 32, 3] }), ...normed(32), half()],
          ...[...normed(64), ...normed(64), half(), ...normed(128)],
          ...[tf.layers.globalAveragePooling2d({}), tf.layers.dense({ units: 10 })],
        ),
      [32, 32, 3],
      10,
    ],
  };
};

let tf;
let current;

const works = {
  step({ model: name, batch, optimizer: rule = "sgd" }) {
    const [make, shape, classes] = networks(tf)[name];
    const model = make();
    const x = tf.randomNormal([batch, ...shape]);
    const y = tf.oneHot(tf.randomUniform([batch], 0, classes, "int32"), classes).toFloat();
    const optimizer = rule === "sgd" ? tf.train.momentum(0.01, 0.9) : tf.train.adam(1e-3);
    let loss;
    const step = () => {
      loss?.dispose();
      loss = optimizer.minimize(
        () => tf.losses.softmaxCrossEntropy(y, model.apply(x, { training: true })),
        true,
      );
    };
    return { step, finish: () => loss?.dataSync() };
  },
  dispatch() {
    const a = tf.ones([16]);
    const b = tf.ones([16]);
    const step = () =>
      tf.tidy(() => {
        for (let i = 0; i < 1000; i++) tf.add(a, b);
      });
    return { step, inner: 1000 };
  },
};

const answers = {
  info: () => ({ version: tf.version.tfjs }),
  prepare: async ({ work, variant }) => {
    if (tf.getBackend() !== variant.backend) tf = await loadTensorflow(variant.backend);
    current = works[work.kind](work);
    current.step(); // what the backend cannot do is told here
    return {};
  },
  measure: () => ({ nanoseconds: measure(current) }),
  facts: () => ({ peakMemory: peakResidentBytes() }),
};

for await (const text of createInterface({ input: process.stdin })) {
  const request = JSON.parse(text);
  let answer;
  try {
    tf ??= await loadTensorflow(request.variant?.backend ?? "cpu");
    if (tf === null) process.exit(0);
    answer = await answers[request.ask](request);
  } catch (error) {
    answer = { error: error.message.split("\n")[0] };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
