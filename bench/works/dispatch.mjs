// What one enqueued operation costs JavaScript: an addition of 16 elements, a thousand per scope. The engine runs them meanwhile; the
// time counts until the last call has returned.
import { ones, tidy } from "gradtape";

const inner = 1000;

/** { tape }: whether the additions are recorded for a backward pass. */
export function prepare({ tape }, { device }) {
  const a = ones([16], { device, requiresGrad: tape });
  const b = ones([16], { device });
  return {
    inner,
    step: () =>
      tidy(() => {
        for (let i = 0; i < inner; i++) a.add(b);
      }),
  };
}
