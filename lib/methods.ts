// Attaches the functions of ops/ to Tensor as methods: one line in the interface and one below per method, in
// alphabetical order.
import * as arithmetic from "./ops/arithmetic.js";
import * as copy from "./ops/copy.js";
import * as index from "./ops/index.js";
import * as join from "./ops/join.js";
import * as pad from "./ops/pad.js";
import * as matmul from "./ops/matmul.js";
import * as dropout from "./ops/dropout.js";
import * as random from "./ops/random.js";
import * as reduce from "./ops/reduce.js";
import * as view from "./ops/view.js";
import { Tensor } from "./tensor.js";

/** Drops the first parameter, which becomes `this`. */
type Method<F> = F extends (x: Tensor, ...rest: infer R) => infer Y ? (...rest: R) => Y : never;

declare module "./tensor.js" {
  interface Tensor {
    /** See {@link arithmetic.add}. */ add: Method<typeof arithmetic.add>;
    /** See {@link arithmetic.add_}. */ add_: Method<typeof arithmetic.add_>;
    /** See {@link random.bernoulli_}. */ bernoulli_: Method<typeof random.bernoulli_>;
    /** See {@link join.chunk}. */ chunk: Method<typeof join.chunk>;
    /** See {@link copy.clone}. */ clone: Method<typeof copy.clone>;
    /** See {@link copy.contiguous}. */ contiguous: Method<typeof copy.contiguous>;
    /** See {@link copy.copy_}. */ copy_: Method<typeof copy.copy_>;
    /** See {@link copy.detach}. */ detach: Method<typeof copy.detach>;
    /** See {@link dropout.dropout}. */ dropout: Method<typeof dropout.dropout>;
    /** See {@link view.expand}. */ expand: Method<typeof view.expand>;
    /** See {@link view.flatten}. */ flatten: Method<typeof view.flatten>;
    /** See {@link join.flip}. */ flip: Method<typeof join.flip>;
    /** See {@link index.gather}. */ gather: Method<typeof index.gather>;
    /** See {@link index.indexAdd}. */ indexAdd: Method<typeof index.indexAdd>;
    /** See {@link index.indexSelect}. */ indexSelect: Method<typeof index.indexSelect>;
    /** See {@link reduce.mean}. */ mean: Method<typeof reduce.mean>;
    /** See {@link matmul.matmul}. */ matmul: Method<typeof matmul.matmul>;
    /** See {@link arithmetic.mul}. */ mul: Method<typeof arithmetic.mul>;
    /** See {@link random.normal_}. */ normal_: Method<typeof random.normal_>;
    /** See {@link pad.pad}. */ pad: Method<typeof pad.pad>;
    /** See {@link view.permute}. */ permute: Method<typeof view.permute>;
    /** See {@link join.repeat}. */ repeat: Method<typeof join.repeat>;
    /** See {@link view.reshape}. */ reshape: Method<typeof view.reshape>;
    /** See {@link join.roll}. */ roll: Method<typeof join.roll>;
    /** See {@link index.scatter}. */ scatter: Method<typeof index.scatter>;
    /** See {@link index.scatterAdd}. */ scatterAdd: Method<typeof index.scatterAdd>;
    /** See {@link view.select}. */ select: Method<typeof view.select>;
    /** See {@link view.slice}. */ slice: Method<typeof view.slice>;
    /** See {@link join.split}. */ split: Method<typeof join.split>;
    /** See {@link view.squeeze}. */ squeeze: Method<typeof view.squeeze>;
    /** See {@link reduce.sum}. */ sum: Method<typeof reduce.sum>;
    /** See {@link reduce.sumTo}. */ sumTo: Method<typeof reduce.sumTo>;
    /** See {@link join.tile}. */ tile: Method<typeof join.tile>;
    /** See {@link copy.to}. */ to: Method<typeof copy.to>;
    /** See {@link view.transpose}. */ transpose: Method<typeof view.transpose>;
    /** See {@link random.truncNormal_}. */ truncNormal_: Method<typeof random.truncNormal_>;
    /** See {@link join.unbind}. */ unbind: Method<typeof join.unbind>;
    /** See {@link random.uniform_}. */ uniform_: Method<typeof random.uniform_>;
    /** See {@link view.unsqueeze}. */ unsqueeze: Method<typeof view.unsqueeze>;
  }
}

// biome-ignore lint/suspicious/noExplicitAny: the types above are exact; this only moves the first argument
function method(name: string, fn: (x: any, ...rest: any[]) => unknown): void {
  Object.defineProperty(Tensor.prototype, name, {
    configurable: true,
    writable: true,
    value(this: Tensor, a: unknown, b: unknown, c: unknown, d: unknown) {
      return fn(this, a, b, c, d);
    },
  });
}

method("add", arithmetic.add);
method("add_", arithmetic.add_);
method("bernoulli_", random.bernoulli_);
method("chunk", join.chunk);
method("clone", copy.clone);
method("contiguous", copy.contiguous);
method("copy_", copy.copy_);
method("detach", copy.detach);
method("dropout", dropout.dropout);
method("expand", view.expand);
method("flatten", view.flatten);
method("flip", join.flip);
method("gather", index.gather);
method("indexAdd", index.indexAdd);
method("indexSelect", index.indexSelect);
method("mean", reduce.mean);
method("matmul", matmul.matmul);
method("mul", arithmetic.mul);
method("normal_", random.normal_);
method("pad", pad.pad);
method("permute", view.permute);
method("repeat", join.repeat);
method("reshape", view.reshape);
method("roll", join.roll);
method("scatter", index.scatter);
method("scatterAdd", index.scatterAdd);
method("select", view.select);
method("slice", view.slice);
method("split", join.split);
method("squeeze", view.squeeze);
method("sum", reduce.sum);
method("sumTo", reduce.sumTo);
method("tile", join.tile);
method("to", copy.to);
method("transpose", view.transpose);
method("truncNormal_", random.truncNormal_);
method("unbind", join.unbind);
method("uniform_", random.uniform_);
method("unsqueeze", view.unsqueeze);
