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
  type TensorRecord,
} from "./safetensors.js";
