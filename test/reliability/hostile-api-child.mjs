// Calls every public function, constructor and method with hostile arguments. Prints one JSON line: how many calls were
// made, and what went wrong. Started by hostile-arguments.test.ts, so that a crash is a failed test and not the end of it.
//   node hostile-api-child.mjs SEED RUNS PART PARTS
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import * as gradtape from "../../dist/index.js";
import { HostileError, hostileValue } from "./hostile-values.mjs";

const [seed, runs, part, parts] = process.argv.slice(2).map(Number);
const dist = fileURLToPath(new URL("../../dist", import.meta.url));
process.chdir(mkdtempSync(join(tmpdir(), "gradtape-hostile-")));

/** What the declarations mark as not for callers: abstract classes, protected and private members. */
function readDeclarations() {
  const abstract = new Set();
  const hidden = new Set();
  for (const file of readdirSync(dist, { recursive: true })) {
    if (!file.endsWith(".d.ts")) continue;
    const text = readFileSync(join(dist, file), "utf8");
    for (const [, name] of text.matchAll(/abstract class (\w+)/g)) abstract.add(name);
    let current = "";
    for (const line of text.split("\n")) {
      current = /class (\w+)/.exec(line)?.[1] ?? current;
      const member = /^\s+(?:protected|private)\s+(?:abstract |readonly |static |override )*(\w+)/.exec(line)?.[1];
      if (member) hidden.add(`${current}#${member}`);
    }
  }
  return { abstract, hidden };
}

/** Every callable thing in the public API, by its path. */
function collect() {
  const { abstract, hidden } = readDeclarations();
  const found = new Map();
  const seen = new Set();
  const methods = new Set();
  const visit = (path, value) => {
    if (value === null || (typeof value !== "object" && typeof value !== "function") || seen.has(value)) return;
    seen.add(value);
    if (typeof value === "function") {
      const isClass = /^class\b/.test(Function.prototype.toString.call(value));
      if (isClass) {
        // Error classes are for catching; what their constructors take is not checked.
        if (value.prototype instanceof Error) return;
        // What an abstract class declares is called on its subclasses.
        if (abstract.has(value.name)) return;
        found.set(`new ${path}`, (args) => new value(...args));
        for (let proto = value.prototype; proto && proto !== Object.prototype; proto = Object.getPrototypeOf(proto)) {
          for (const key of Reflect.ownKeys(proto)) {
            const descriptor = Object.getOwnPropertyDescriptor(proto, key);
            if (key === "constructor" || typeof descriptor.value !== "function") continue;
            const owner = Object.prototype.hasOwnProperty.call(proto, "constructor") ? proto.constructor.name : value.name;
            if (hidden.has(`${owner}#${String(key)}`) || hidden.has(`${value.name}#${String(key)}`)) continue;
            const name = `${path}#${String(key)}`;
            // A method that many classes inherit is tried on the first of them.
            if (methods.has(descriptor.value)) continue;
            methods.add(descriptor.value);
            // Tensor methods are tried on anything at all; others on an object of their class.
            if (value === gradtape.Tensor) found.set(name, ([self, ...args]) => descriptor.value.apply(self, args));
            else found.set(name, (args) => descriptor.value.apply(makeInstance(path, value), args));
          }
        }
      } else {
        found.set(path, (args) => value(...args));
      }
      return;
    }
    for (const key of Object.keys(value)) visit(path ? `${path}.${key}` : key, value[key]);
  };
  for (const [key, value] of Object.entries(gradtape)) visit(key, value);
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1));
}

// Networks with millions of weights are called less often. Of those with hundreds of megabytes, these stand for the others.
const large = /^(new )?models\.(ResNet|resnet18|GoogLeNet|googlenet)$/;
const larger = /^(new )?models\.(?!LeNet5|lenet5|registry)/;
const shared = {
  "models.ResNet": new gradtape.models.ResNet("basic", [1, 1, 1, 1], { numClasses: 2 }).eval(),
  "models.GoogLeNet": new gradtape.models.GoogLeNet({ numClasses: 2, auxLogits: false }).eval(),
};

const objects = {
  "models.ResNet": () => shared["models.ResNet"],
  "models.GoogLeNet": () => shared["models.GoogLeNet"],
  "models.LeNet5": () => new gradtape.models.LeNet5({ activation: "relu" }),
  Generator: () => new gradtape.Generator(1),
  "data.ArrayDataset": () => new gradtape.data.ArrayDataset({ x: { data: new Float32Array(12), shape: [2] } }),
  "data.TensorDataset": () => new gradtape.data.TensorDataset(gradtape.ones([6, 2]), gradtape.zeros([6], { dtype: "int64" })),
};

/** An object to call methods on: from the table above, or what the class makes of plausible arguments. */
function makeInstance(path, Class) {
  if (objects[path]) return objects[path]();
  const weights = [gradtape.ones([2, 2]).requiresGrad_()];
  for (const args of [[], [2], [2, 2], [2, 2, 1], [weights, { lr: 0.1 }], [[2]], [new gradtape.nn.Linear(2, 2)]]) {
    try {
      return new Class(...args);
    } catch {}
  }
  throw new Error(`hostile-api-child.mjs does not know how to make a ${path}; add it to its table of objects`);
}

function makeTensor({ shape, dtype, kind }) {
  const t = gradtape.ones(shape, { dtype });
  switch (kind) {
    case "grad":
      return dtype === "float32" || dtype === "float64" ? t.requiresGrad_() : t;
    case "view":
      return shape.length >= 2 ? t.transpose(0, shape.length - 1) : t;
    case "disposed":
      t.dispose();
      return t;
    default:
      return t;
  }
}

const calls = fc.array(hostileValue(makeTensor), { maxLength: 5 });
const problems = [];
let count = 0;
let refused = 0;
// Promises that the library leaves unhandled are a problem too.
process.on("unhandledRejection", (error) => {
  if (!(error instanceof HostileError)) problems.push(`unhandled rejection: ${error?.stack ?? error}`);
});

const functions = collect()
  .filter(([name]) => large.test(name) || !larger.test(name) || name.split("#")[0] in objects)
  .filter((_, i) => i % parts === part);
for (const [name, call] of functions) {
  process.stderr.write(`${name}\n`); // the last line before a crash names the culprit
  const result = await fc.check(
    fc.asyncProperty(calls, async (makers) => {
      count++;
      try {
        await gradtape.tidy(async () => {
          const made = call(makers.map((make) => make()));
          // A thenable of the caller's own is his business.
          if (made instanceof Promise) await Promise.race([made, new Promise((resolve) => setTimeout(resolve, 2000).unref())]);
        });
        // What was enqueued must not have failed with anything untyped either.
        gradtape.ones([1]).dataSync();
      } catch (error) {
        refused++;
        if (error instanceof gradtape.GradtapeError && typeof error.code === "string" && error.code.startsWith("GT_") && error.message.length > 0) return;
        if (error instanceof HostileError) return;
        throw error;
      }
    }),
    { seed, numRuns: large.test(name) ? Math.ceil(runs / 50) : runs, endOnFailure: false, interruptAfterTimeLimit: 20_000, markInterruptAsFailure: false },
  );
  if (result.failed) {
    const example = result.counterexample?.[0]?.map((make) => {
      try {
        const value = make();
        return value instanceof gradtape.Tensor ? `Tensor(${value.dtype} [${value.shape}] id ${value.id})` : typeof value === "object" ? JSON.stringify(value) : String(value);
      } catch {
        return "?";
      }
    });
    problems.push(`${name}(${example?.join(", ")}): ${result.errorInstance?.stack?.split("\n").slice(0, 4).join(" | ") ?? result.errorInstance}`);
  }
}
await new Promise((resolve) => setTimeout(resolve, 50));
console.log(JSON.stringify({ functions: functions.length, calls: count, refused, problems }));
process.exit(0);
