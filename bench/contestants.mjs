// Who is measured: gradtape and the same work elsewhere, each in a process of its own.

const tuned = {
  MALLOC_MMAP_THRESHOLD_: "4294967296",
  MALLOC_TRIM_THRESHOLD_: "17179869184",
  MALLOC_TOP_PAD_: "1073741824",
};
const gradtape = { command: process.execPath, script: "worker.mjs", family: "gradtape" };
const torch = { command: "python3", script: "peers/torch_peer.py", family: "PyTorch" };
const tensorflow = { command: "python3", script: "peers/tensorflow_peer.py", family: "TensorFlow" };
const tfjs = { command: process.execPath, script: "peers/tfjs_peer.mjs", family: "TensorFlow.js" };

/** key → how it is started, and the `variant` of the work that it is asked for. */
export const contestants = {
  gradtape: { ...gradtape, variant: {} },
  "gradtape captured": { ...gradtape, variant: { captured: true } },
  "gradtape without cuDNN": { ...gradtape, variant: { cudnn: false } },
  "gradtape on the CPU": { ...gradtape, variant: { device: "cpu" } },
  PyTorch: { ...torch, variant: {} },
  "PyTorch, malloc tuned": { ...torch, variant: {}, env: tuned },
  "PyTorch channels-last": { ...torch, variant: { channelsLast: true } },
  "PyTorch channels-last, malloc tuned": { ...torch, variant: { channelsLast: true }, env: tuned },
  "PyTorch compiled": { ...torch, variant: { compiled: true } },
  "PyTorch channels-last compiled": { ...torch, variant: { channelsLast: true, compiled: true } },
  TensorFlow: { ...tensorflow, variant: {} },
  "TensorFlow.js WASM": { ...tfjs, variant: { backend: "wasm" } },
  "TensorFlow.js plain": { ...tfjs, variant: { backend: "cpu" } },
};

/** What malloc does matters on the CPU alone, and cuDNN on a GPU. */
export function takesPart(key, device) {
  if (device === "cpu") return key !== "gradtape without cuDNN" && key !== "gradtape on the CPU";
  return !key.includes("malloc") && !key.startsWith("TensorFlow.js");
}
