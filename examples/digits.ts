// The program of the README: LeNet-5 on handwritten digits, one epoch after another, printing the loss.
//
//   node examples/digits.ts      (Node 22.18 and newer run TypeScript as it is)
import { data, models, nn, optim, tidy } from "gradtape";

const model = models.lenet5({ numClasses: 10 }).to("cpu");
const optimizer = optim.adam(model.parameters(), { lr: 1e-3 });
for await (const { x, y } of data.loader(data.digits("train"), { batchSize: 64, shuffle: true })) {
  const loss = tidy(() => {
    const loss = nn.functional.crossEntropy(model.forward(x), y);
    optimizer.zeroGrad();
    loss.backward();
    optimizer.step();
    return loss;
  });
  console.log(await loss.item());
}
