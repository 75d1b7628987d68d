// The namespace `data`: exports only.
export { type Collated, defaultCollate } from "./collate.js";
export {
  ArrayDataset,
  type BatchDataset,
  type Dataset,
  type HostField,
  type SampleDataset,
  TensorDataset,
} from "./dataset.js";
export { type DigitsOptions, digits, digitsMean, digitsStd } from "./digits.js";
export { type IdxArray, parseIdx, readIdx } from "./idx.js";
export { type Loader, type LoaderOptions, loader } from "./loader.js";
