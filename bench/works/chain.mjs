// Elementwise operations one after the other: GELU by its approximation, written out.
import { capture, manualSeed, ones, randn, tidy } from "gradtape";

/** { size }; `captured`: recorded and replayed. */
export function prepare({ size }, { device, captured }) {
  manualSeed(1);
  const x = randn([size], { device });
  const gelu = (x) =>
    x
      .mul(x)
      .mul(x)
      .mul(0.044715)
      .add(x)
      .mul(Math.sqrt(2 / Math.PI))
      .tanh()
      .add(1)
      .mul(x)
      .mul(0.5);
  const replay = capture(gelu);
  return {
    step: captured ? () => void replay(x) : () => tidy(() => void gelu(x)),
    finish: () => tidy(() => void ones([1], { device }).sum().itemSync()),
  };
}
