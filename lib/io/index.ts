// The namespace `io`: exports only.
export {
  type LoadOptions,
  load,
  open,
  parse,
  type SafetensorsFile,
  type SaveOptions,
  save,
  type TensorInfo,
  type TensorMap,
} from "./safetensors.js";
