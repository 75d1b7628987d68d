// Forward and backward apart, by the protocol of cnn-benchmarks: training mode, a new random input and a new random gradient of the
// output for every pass, made outside of the timed parts; no loss, no update. The input has no gradient.
import { allowCudnn, manualSeed, profile, randn, setAutotune, tidy } from "gradtape";
import { logits, network } from "./models.mjs";

/** { model, batch }; `cudnn: false` computes convolutions of a GPU by im2col and a matrix product. */
export function prepare({ model: name, batch }, { device, cudnn = true }) {
  manualSeed(1);
  if (device !== "cpu") {
    allowCudnn(cudnn);
    setAutotune(cudnn);
  }
  const { model, input, classes } = network(name, batch, device);
  // Something small of a result, so that reading it means having waited.
  const wait = (t) => tidy(() => void t.sum().itemSync());
  const pass = (time) =>
    tidy(() => {
      model.zeroGrad();
      const x = input();
      const dy = randn([batch, classes], { device });
      wait(x);
      wait(dy);
      const start = time();
      const y = logits(model.forward(x));
      wait(y.detach());
      const middle = time();
      y.backward(dy);
      const first = model.parameters()[0];
      wait(first.grad);
      return { forward: Number(middle - start), backward: Number(time() - middle) };
    });
  pass(process.hrtime.bigint); // the pass that is discarded
  return {
    measure: () => pass(process.hrtime.bigint),
    /** Floating-point operations of one pass, by the definition of its products and convolutions. */
    flops: async () => {
      const { events } = await profile(() => void pass(process.hrtime.bigint), {
        device,
        peak: { gigabytesPerSecond: 1, gigaflops: 1 },
      });
      return events.reduce((sum, e) => sum + e.flops, 0);
    },
  };
}
