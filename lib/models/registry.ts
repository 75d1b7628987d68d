// The models that the command line knows, with the recipes that train them.
import type { Module } from "../nn/module.js";
import { type Adam, adamW } from "../optim/adam.js";
import type { SGD } from "../optim/sgd.js";
import type { Tensor } from "../tensor.js";
import { lenet5 } from "./lenet.js";
import { resnet18 } from "./resnet.js";

/** How a model is trained when nothing else is asked for. */
export interface Recipe {
  epochs: number;
  batchSize: number;
  /** The learning rate at its highest. */
  lr: number;
  optimizer(params: Tensor[], lr: number): Adam | SGD;
  /** The factor on the learning rate when this share of the training, from 0 to 1, is done. */
  schedule?(done: number): number;
}

export interface ModelEntry {
  /** What one types. */
  name: string;
  /** Where it comes from. */
  title: string;
  /** Channels, height, width. */
  inputShape: readonly number[];
  make(options?: { numClasses?: number }): Module;
  recipe: Recipe;
}

/** Half a cosine from 1 to 0. Loshchilov and Hutter, SGDR, ICLR 2017, https://arxiv.org/abs/1608.03983 */
const cosine = (done: number): number => 0.5 * (1 + Math.cos(Math.PI * done));

const entries: ModelEntry[] = [
  {
    name: "lenet5",
    title: "LeNet-5, LeCun et al. 1998",
    inputShape: [1, 32, 32],
    // The classic sigmoids and average pools reach 97 % on the built-in digits; these 98 % in the same time.
    make: (options) => lenet5({ activation: "relu", pool: "max", ...options }),
    recipe: {
      epochs: 30,
      batchSize: 32,
      lr: 2e-3,
      optimizer: (params, lr) => adamW(params, { lr }),
      schedule: cosine,
    },
  },
  {
    name: "resnet18",
    title: "ResNet-18, He et al. 2016",
    inputShape: [1, 32, 32],
    make: (options) => resnet18({ inChannels: 1, ...options }),
    recipe: {
      epochs: 4,
      batchSize: 32,
      lr: 1e-3,
      optimizer: (params, lr) => adamW(params, { lr }),
      schedule: cosine,
    },
  },
];

/** All models by name. */
export const registry: ReadonlyMap<string, ModelEntry> = new Map(entries.map((entry) => [entry.name, entry]));
