// Every benchmark: its name, what it is, and the PyTorch variants beside it. The work itself is in ops/ and models/ here and
// under the same name in peers/torch_peer.py.

import * as block from "./models/block.mjs";
import * as lenet from "./models/lenet.mjs";
import * as lstm from "./models/lstm.mjs";
import * as mlp from "./models/mlp.mjs";
import * as dispatch from "./ops/dispatch.mjs";

export const benchmarks = [
  ...dispatch.benchmarks,
  ...mlp.benchmarks,
  ...lenet.benchmarks,
  ...block.benchmarks,
  ...lstm.benchmarks,
];
