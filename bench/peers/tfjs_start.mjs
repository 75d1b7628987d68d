// Imports TensorFlow.js, adds two numbers with it and ends; the backend is the argument.
import { loadTensorflow } from "./tfjs_library.mjs";

const tf = await loadTensorflow(process.argv[2]);
if (tf === null) process.exit(1);
tf.ones([1]).add(1).dataSync();
process.exit(0);
