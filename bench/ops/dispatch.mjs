// What one enqueued operation costs JavaScript: an addition of 16 elements, a thousand per scope. The engine runs them meanwhile; the
// time counts until the last call has returned.
import { ones, tidy } from "gradtape";
import { device } from "../support/device.mjs";

const inner = 1000;

function adds(requiresGrad) {
  const a = ones([16], { device, requiresGrad });
  const b = ones([16], { device });
  return {
    inner,
    step: () =>
      tidy(() => {
        for (let i = 0; i < inner; i++) a.add(b);
      }),
  };
}

export const benchmarks = [
  { name: "dispatch", title: "one enqueued op, no tape", peers: ["default"], prepare: () => adds(false) },
  {
    name: "dispatch-tape",
    title: "one enqueued op, with tape",
    peers: ["default"],
    prepare: () => adds(true),
  },
];
