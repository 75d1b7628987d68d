// Gradients against central differences, for users' own functions and modules.
import { checkFloatTensor, checkFunction, checkNumber, checkOptions, checkTensor } from "./check.js";
import { isFloat, show } from "./dtype.js";
import { ArgumentError, AutogradError, DtypeError } from "./errors.js";
import { tidy } from "./memory.js";
import { tensor } from "./ops/create.js";
import { noGrad, runBackward } from "./tape.js";
import type { Tensor } from "./tensor.js";

/** Options of {@link gradCheck}. */
export interface GradCheckOptions {
  /** The step of the differences. Default 1e-6. */
  eps?: number;
  /** Absolute tolerance. Default 1e-5. */
  atol?: number;
  /** Relative tolerance. Default 1e-3. */
  rtol?: number;
}

/**
 * Compares the gradients of a function with central differences, for every pair of an input element and an output element:
 *
 *     |analytic − (f(x + eps) − f(x − eps)) / (2 eps)| ≤ atol + rtol · |numeric|
 *
 * @param fn From tensors to a tensor or an array of them. It must use the tensors it is given, and be deterministic.
 * @param inputs Those that require grad are checked, and must be float64.
 * @returns true
 * @throws {@link AutogradError} if a gradient is wrong; its `value` has `input`, `element`, `output`, `outputElement`, `analytic`
 * and `numeric`.
 * @example gradCheck((x) => x.mul(x), [randn([3], { dtype: "float64", requiresGrad: true })]);
 */
export function gradCheck(
  fn: (...inputs: Tensor[]) => Tensor | readonly Tensor[],
  inputs: readonly Tensor[],
  options?: GradCheckOptions,
): true {
  const op = "gradCheck";
  checkFunction(op, "fn", fn);
  if (!Array.isArray(inputs)) {
    throw new ArgumentError(`inputs must be an array of tensors, not ${show(inputs)}`, {
      op,
      argument: "inputs",
      value: inputs,
    });
  }
  const o = checkOptions(op, options, ["eps", "atol", "rtol"]);
  const eps = o.eps === undefined ? 1e-6 : checkNumber(op, "eps", o.eps, Number.MIN_VALUE);
  const atol = o.atol === undefined ? 1e-5 : checkNumber(op, "atol", o.atol, 0);
  const rtol = o.rtol === undefined ? 1e-3 : checkNumber(op, "rtol", o.rtol, 0);
  const checked: number[] = [];
  inputs.forEach((x, i) => {
    checkTensor(op, `inputs[${i}]`, x);
    if (!x.requiresGrad) return;
    if (x.dtype !== "float64") {
      throw new DtypeError(`inputs[${i}] requires grad and is ${x.dtype}, too coarse for differences`, {
        op,
        argument: "inputs",
        value: x.dtype,
        hint: 'make it float64: { dtype: "float64", requiresGrad: true }',
      });
    }
    checked.push(i);
  });
  if (checked.length === 0) throw new AutogradError("no input requires grad", { op, argument: "inputs" });

  const run = (xs: readonly Tensor[]): Tensor[] => {
    const y = fn(...xs);
    const ys = Array.isArray(y) ? (y as readonly Tensor[]) : [y as Tensor];
    return ys.map((t, i) => checkTensor(op, `output ${i} of fn`, t)).filter((t) => isFloat(t.dtype));
  };
  const values = (xs: readonly Tensor[]): Float64Array[] =>
    tidy(() => noGrad(() => run(xs).map((y) => Float64Array.from(y.dataSync(), Number))));

  const analytic = tidy(() => jacobians(run, inputs, checked));
  const [first, second] = [values(inputs), values(inputs)];
  first.forEach((y, k) => {
    const at = y.findIndex((v, i) => !Object.is(v, second[k][i]));
    if (at >= 0) {
      throw new AutogradError(
        `fn is not deterministic: element ${at} of output ${k} was ${y[at]} and then ${second[k][at]}`,
        {
          op,
          argument: "fn",
          hint: "seed a generator inside of fn, or put the module into eval() mode",
        },
      );
    }
  });

  for (const input of checked) {
    const x = inputs[input];
    const data = Float64Array.from(x.dataSync() as Float64Array);
    const at = (element: number, value: number): Float64Array[] => {
      const moved = data.slice();
      moved[element] = value;
      return tidy(() =>
        values(
          inputs.map((t, i) =>
            i === input ? tensor(moved, { dtype: "float64", shape: x.shape, device: x.device }) : t,
          ),
        ),
      );
    };
    for (let element = 0; element < data.length; element++) {
      const up = at(element, data[element] + eps);
      const down = at(element, data[element] - eps);
      up.forEach((y, output) => {
        for (let outputElement = 0; outputElement < y.length; outputElement++) {
          const numeric = (y[outputElement] - down[output][outputElement]) / (2 * eps);
          const rule = analytic[input]![output][outputElement][element];
          if (Math.abs(rule - numeric) <= atol + rtol * Math.abs(numeric)) continue;
          throw new AutogradError(
            `the gradient of output ${output}, element ${outputElement}, with respect to inputs[${input}], element ${element}, ` +
              `is ${rule}, but differences give ${numeric}`,
            {
              op,
              argument: `inputs[${input}]`,
              value: { input, element, output, outputElement, analytic: rule, numeric },
            },
          );
        }
      });
    }
  }
  return true;
}

/** [input][output][output element][input element], from one backward pass per output element. */
function jacobians(
  run: (xs: readonly Tensor[]) => Tensor[],
  inputs: readonly Tensor[],
  checked: readonly number[],
): (Float64Array[][] | null)[] {
  const op = "gradCheck";
  const leaves = inputs.map((x, i) =>
    checked.includes(i) ? noGrad(() => x.detach().clone()).requiresGrad_() : x,
  );
  const ys = run(leaves);
  if (ys.length === 0) throw new AutogradError("fn returned no float tensor", { op, argument: "fn" });
  const wanted = checked.map((i) => leaves[i]);
  const result: (Float64Array[][] | null)[] = inputs.map((_, i) =>
    checked.includes(i) ? ys.map(() => []) : null,
  );
  ys.forEach((y, output) => {
    checkFloatTensor(op, `output ${output} of fn`, y);
    for (let k = 0; k < y.numel; k++) {
      tidy(() => {
        const oneHot = new Float64Array(y.numel);
        oneHot[k] = 1;
        const seed = tensor(oneHot, { dtype: y.dtype, shape: y.shape, device: y.device });
        const pass = { retainGraph: true, createGraph: false, inputs: wanted, op };
        const gs = y.requiresGrad ? runBackward([y], [seed], pass) : wanted.map(() => null);
        gs.forEach((g, i) => {
          const data = g ? Float64Array.from(g.dataSync(), Number) : new Float64Array(wanted[i].numel);
          result[checked[i]]![output].push(data);
        });
      });
    }
  });
  return result;
}
