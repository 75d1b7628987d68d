// The names of torchvision's networks and options, in camelCase here: vgg16_bn is vgg16Bn.
import { models, type nn, type Tensor } from "../../lib/index.js";

type Options = Record<string, unknown>;
type Network = nn.Module<[Tensor], object>;

const camelCase = (name: string) => name.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase());

export function makeModel(name: string, options: Options): Network {
  const factory = (models as unknown as Record<string, (options: Options) => Network>)[camelCase(name)];
  return factory(Object.fromEntries(Object.entries(options).map(([key, value]) => [camelCase(key), value])));
}
