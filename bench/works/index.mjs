// Every kind of work that gradtape can be measured at.
import * as chain from "./chain.mjs";
import * as dispatch from "./dispatch.mjs";
import * as inference from "./inference.mjs";
import * as language from "./language.mjs";
import * as layer from "./layer.mjs";
import * as operation from "./operation.mjs";
import * as passes from "./passes.mjs";
import * as step from "./step.mjs";

export const works = { chain, dispatch, inference, language, layer, operation, passes, step };
