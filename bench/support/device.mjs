/** Where the benchmarks of this process run: `--device` of bench/run.mjs. */
export const device = process.env.GRADTAPE_BENCH_DEVICE ?? "cpu";
