// The namespace `train`: exports only.
export {
  type Batches,
  type EpochRecord,
  type EvaluateOptions,
  evaluate,
  type FitOptions,
  type FitResult,
  fit,
  type StepRecord,
} from "./fit.js";
export type { StepInfo, StepValues } from "./meter.js";
export { accuracy, classification, type Objective } from "./objective.js";
