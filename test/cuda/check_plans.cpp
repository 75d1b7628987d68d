// Asks the real cuDNN, without a GPU, for plans of many convolutions, from descriptions of GPUs in its own
// format: that it takes our graphs, and that even the strictest settings leave a plan. Nothing is run. Prints
// what is missing, and ends with 1 then; with 77 where there is no cuDNN.
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "cuda/conv_cudnn.h"

using namespace gt;
using namespace gt::cuda;
using namespace gt::cuda::cudnn;

namespace {

struct Machine {
  const char* name;
  int capability, multiprocessors, shared, threads, blocks, l2;
  long long memory;
};
constexpr Machine kMachines[] = {
    {"T4", 750, 40, 65536, 1024, 16, 4194304, 15843721216},
    {"A100", 800, 108, 166912, 2048, 32, 41943040, 42405855232},
    {"RTX 4090", 890, 128, 101376, 1536, 24, 75497472, 25390809088},
    {"H200", 900, 132, 232448, 2048, 32, 62914560, 150754820096},
};

std::string describe(const Machine& m) {
  char text[1024];
  std::snprintf(
      text, sizeof text,
      R"({"deviceName":"%s","deviceVer":%d,"multiProcessorCount":%d,"cudaDeviceId":0,"pciDeviceId":0,)"
      R"("driverVer":13000,"totalGlobalMem":%lld,"l2CacheSize":%d,"smClockRateKHz":1700000,)"
      R"("memClockRateKHz":3000000,"warpSize":32,"maxGridSize":[2147483647,65535,65535],)"
      R"("maxBlockSize":[1024,1024,64],"maxThreadsPerBlock":1024,"maxThreadsPerSM":%d,)"
      R"("maxCtasPerSM":%d,"regsPerBlock":65536,"maxRegistersPerSM":65536,)"
      R"("maxSharedMemoryPerBlock":49152,"maxSharedMemoryPerBlockOptin":%d,)"
      R"("reservedSharedMemoryPerBlock":%d,"supportCoopLaunch":1,"isTccDriver":0})",
      m.name, m.capability, m.multiprocessors, m.memory, m.l2, m.threads, m.blocks, m.shared,
      m.capability >= 800 ? 1024 : 0);
  return text;
}

// A convolution of images: channels c to o in groups, a kernel k by k, and `extra` zeros after x.
Conv image(int64_t n, int64_t c, int64_t o, int64_t groups, int64_t size, int64_t k, int64_t stride,
           int64_t pad, int64_t dilation = 1, int64_t extra = 0) {
  const int64_t out = (size + 2 * pad + extra - dilation * (k - 1) - 1) / stride + 1;
  return {2,
          n,
          groups,
          c,
          o,
          {1, size, size},
          {1, out, out},
          {1, k, k},
          {1, stride, stride},
          {0, pad, pad},
          {1, dilation, dilation}};
}

struct Case {
  const char* name;
  Conv p;
};
const Case kCases[] = {
    {"3x3", image(32, 64, 64, 1, 56, 3, 1, 1)},
    {"3x3 of stride 2", image(32, 128, 128, 1, 56, 3, 2, 1)},
    {"1x1", image(32, 64, 256, 1, 56, 1, 1, 0)},
    {"1x1 of stride 2", image(32, 256, 512, 1, 56, 1, 2, 0)},
    {"7x7 of stride 2", image(32, 3, 64, 1, 224, 7, 2, 3)},
    {"11x11 of stride 4", image(32, 3, 64, 1, 224, 11, 4, 2)},
    {"5x5 of LeNet", image(64, 1, 6, 1, 28, 5, 1, 2)},
    {"depthwise", image(32, 96, 96, 96, 56, 3, 1, 1)},
    {"in groups", image(32, 128, 128, 4, 28, 3, 1, 1)},
    {"dilated", image(8, 64, 64, 1, 28, 3, 1, 2, 2)},
    {"2x2 same", image(8, 64, 64, 1, 28, 2, 1, 0, 1, 1)},
    {"4x4 same", image(8, 64, 64, 1, 28, 4, 1, 1, 1, 1)},
    {"odd channels", image(8, 5, 7, 1, 28, 3, 1, 1)},
    {"one element", image(1, 1, 1, 1, 1, 1, 1, 0)},
    {"more padding than kernel", image(2, 2, 2, 1, 3, 2, 2, 3)},
    {"a line", {1, 16, 1, 32, 64, {1, 1, 1000}, {1, 1, 1000}, {1, 1, 5}, {1, 1, 1}, {0, 0, 2}, {1, 1, 1}}},
    {"a volume", {3, 4, 1, 16, 32, {16, 32, 32}, {16, 32, 32}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}}},
    {"a rest", {2, 1, 1, 2, 2, {1, 6, 8}, {1, 2, 2}, {1, 1, 2}, {1, 4, 5}, {0, 0, 0}, {1, 1, 1}}},
    {"output padding", {2, 1, 1, 2, 2, {1, 6, 10}, {1, 3, 3}, {1, 3, 3}, {1, 2, 3}, {0, 1, 0}, {1, 1, 1}}},
};

constexpr const char* kPasses[] = {"forward", "backward data", "backward weight"};

int graphs = 0, failures = 0;

// The number of plans; the first one's engine and workspace.
int count_plans(const Target& target, const ConvCall& call, bool fused, const Limits& limits) {
  const auto graph = conv_graph(target, call, fused, 16);
  int count = 0;
  for (const HeuristicMode mode : {HeuristicMode::a, HeuristicMode::fallback}) {
    for (Node& config : graph->configs(mode)) {
      if (build_plan(target, std::move(config), limits)) count++;
    }
  }
  return count;
}

void check(const Target& target, const Machine& machine, const Case& c, Dtype dtype, Pass pass, bool fused,
           bool strict) {
  const ConvCall call{"check", pass, c.p, dtype, nullptr, nullptr, nullptr};
  const Limits limits{!strict || dtype != Dtype::f32, !strict, !strict, true, machine.memory / 8};
  graphs++;
  const auto complain = [&](const char* what) {
    failures++;
    std::printf("%s, %s, %s, %s%s%s: %s\n", machine.name, c.name, dtype_name(dtype),
                kPasses[static_cast<int>(pass)], fused ? " with bias" : "", strict ? ", strict" : "", what);
  };
  try {
    if (count_plans(target, call, fused, limits) == 0) complain("no plan");
  } catch (const Refusal& refusal) {
    char words[512] = "";
    target.functions.GetLastErrorString(words, sizeof words);
    complain((std::string(refusal.call) + " failed, " + target.functions.GetErrorString(refusal.status) +
              ": " + words)
                 .c_str());
  }
}

}  // namespace

int main() {
  const Functions* f = find();
  if (!f) return std::printf("%s\n", missing().c_str()), 77;
  for (const Machine& machine : kMachines) {
    const std::string json = describe(machine);
    Node device(*f, Kind::device);
    try {
      device.set(Attribute::device_json, Type::character, static_cast<int64_t>(json.size()) + 1,
                 json.c_str());
      device.finalize();
    } catch (const Refusal& refusal) {
      char words[512] = "";
      f->GetLastErrorString(words, sizeof words);
      return std::printf("%s is not taken: %s\n", machine.name, words), 1;
    }
    const Target target{*f, nullptr, &device};
    for (const Case& c : kCases) {
      for (const Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::f16, Dtype::bf16}) {
        if (dtype == Dtype::bf16 && machine.capability < 800) continue;  // widened there
        for (const Pass pass : {Pass::forward, Pass::backward_data, Pass::backward_weight}) {
          for (const bool strict : {false, true}) {
            check(target, machine, c, dtype, pass, false, strict);
            if (pass == Pass::forward && dtype != Dtype::f64)
              check(target, machine, c, dtype, pass, true, strict);
          }
        }
      }
    }
  }
  std::printf("cuDNN %d: %d graphs, %d failures\n", static_cast<int>(f->GetVersion()), graphs, failures);
  return failures > 0 ? 1 : 0;
}
