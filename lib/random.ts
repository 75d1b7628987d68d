// Generators of random numbers. The state lives on the device, [seed, offset] in an int64 tensor, and kernels advance
// it themselves: see Note [Random numbers] in native/shared/philox.h.
import { randomBytes } from "node:crypto";
import { checkOptions } from "./check.js";
import { noteDraw } from "./checkpoint/mode.js";
import { checkDevice, type Device } from "./device.js";
import { show } from "./dtype.js";
import { ArgumentError, DeviceError } from "./errors.js";
import { keep } from "./memory.js";
import { kernels, native } from "./native.js";
import { allocate, type Tensor } from "./tensor.js";

/** A seed: a safe integer, or a bigint of which the low 64 bits count. */
export type Seed = number | bigint;

function checkSeed(op: string, seed: unknown): bigint {
  if (typeof seed === "bigint") return BigInt.asIntN(64, seed);
  if (typeof seed === "number" && Number.isSafeInteger(seed)) return BigInt(seed);
  throw new ArgumentError(`seed must be a safe integer or a bigint, not ${show(seed)}`, {
    op,
    argument: "seed",
    value: seed,
  });
}

/**
 * A stream of random numbers of its own: Philox4x32-10, so that element i of a call depends only on the seed, on how
 * many calls came before, and on i. Pass one as `{ generator }` to the functions that draw.
 *
 * Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3 (SC 2011).
 *
 * @example
 * const generator = new Generator({ seed: 42 });
 * randn([3], { generator });
 */
export class Generator {
  /** @internal */ readonly state: Tensor;

  /** @param options `seed` is random if left out. */
  constructor(options?: { seed?: Seed; device?: Device }) {
    const o = checkOptions("Generator", options, ["seed", "device"]);
    const seed = o.seed === undefined ? randomBytes(8).readBigInt64LE() : checkSeed("Generator", o.seed);
    this.state = keep(
      allocate([2], "int64", o.device === undefined ? "cpu" : checkDevice("Generator", o.device)),
    );
    native.write(this.state.id, BigInt64Array.of(seed, 0n));
  }

  get device(): Device {
    return this.state.device;
  }

  /** Starts the stream of this seed from its beginning. Returns this. */
  manualSeed(seed: Seed): this {
    native.write(this.state.id, BigInt64Array.of(checkSeed("manualSeed", seed), 0n));
    return this;
  }

  /** A new generator seeded by a draw from this one, such as for a worker or for augmentation. */
  fork(): Generator {
    const child = new Generator({ seed: 0, device: this.device });
    kernels.random_fork(this.state.id, child.state.id);
    return child;
  }

  /** The state, [seed, number of calls so far], as of the calls made before this one. */
  async getState(): Promise<BigInt64Array> {
    return (await this.state.data()) as BigInt64Array;
  }

  /** Goes back to a state from {@link getState}. Calls made before are not affected. */
  setState(state: BigInt64Array): void {
    if (!(state instanceof BigInt64Array) || state.length !== 2) {
      throw new ArgumentError(`state must be a BigInt64Array of length 2, not ${show(state)}`, {
        op: "setState",
        argument: "state",
        value: state,
        hint: "take it from getState()",
      });
    }
    native.write(this.state.id, state);
  }
}

const shared = new Map<Device, Generator>();
let sharedSeed: Seed | null = null; // of a manualSeed, which holds for devices used later too

/**
 * The generator of this thread that is used where none is given, one per device; randomly seeded until {@link manualSeed}.
 */
export function defaultGenerator(device: Device = "cpu"): Generator {
  const on = checkDevice("defaultGenerator", device);
  let generator = shared.get(on);
  if (!generator) {
    generator = new Generator({ device: on, ...(sharedSeed === null ? {} : { seed: sharedSeed }) });
    shared.set(on, generator);
  }
  return generator;
}

/**
 * Seeds the default generators of this thread, one per device, so that all that follows draws the same numbers again.
 * @throws {@link ArgumentError} if `seed` is no integer.
 * @example manualSeed(0);
 */
export function manualSeed(seed: Seed): Generator {
  checkSeed("manualSeed", seed);
  sharedSeed = seed;
  for (const generator of shared.values()) generator.manualSeed(seed);
  return defaultGenerator();
}

/** The generator given by a user, or the default one; on the device of what it fills. */
export function checkGenerator(op: string, generator: unknown, device: Device): Generator {
  if (generator === undefined) {
    const shared = defaultGenerator(device);
    noteDraw(shared);
    return shared;
  }
  if (!(generator instanceof Generator)) {
    throw new ArgumentError(`generator must be a Generator, not ${show(generator)}`, {
      op,
      argument: "generator",
      value: generator,
      hint: "make one with new Generator({ seed })",
    });
  }
  if (generator.device !== checkDevice(op, device)) {
    throw new DeviceError(`generator is on ${generator.device} and the tensor on ${device}`, {
      op,
      argument: "generator",
    });
  }
  noteDraw(generator);
  return generator;
}
