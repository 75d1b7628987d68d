// TensorFlow.js, wherever Node finds it (node_modules of the repository, or NODE_PATH).
import { createRequire } from "node:module";
import { dirname } from "node:path";

const require = createRequire(import.meta.url);

/** The library on one of its backends, "wasm" or "cpu"; null if it is not installed. */
export async function loadTensorflow(backend) {
  let tf;
  try {
    // It writes advice to the console, which is not a place for that here.
    console.warn = () => {};
    console.log = () => {};
    tf = require("@tensorflow/tfjs");
    if (backend === "wasm") {
      const { setWasmPaths } = require("@tensorflow/tfjs-backend-wasm");
      setWasmPaths(`${dirname(require.resolve("@tensorflow/tfjs-backend-wasm/package.json"))}/dist/`);
    }
  } catch {
    return null;
  }
  if (!(await tf.setBackend(backend))) return null;
  await tf.ready();
  return tf;
}
