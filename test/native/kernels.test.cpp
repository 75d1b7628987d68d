// Every kernel with tensors and scalars that TypeScript would never send. Each tensor has memory of exactly
// its own size, so that AddressSanitizer sees a step outside of it; a kernel may refuse with gt::Error or
// compute nonsense.
#include <cmath>
#include <cstring>
#include <random>
#include <string>

#include "core/device.h"
#include "core/error.h"
#include "core/kernel.h"
#include "harness.h"

namespace {

using Rng = std::mt19937_64;

template <class T>
T pick(Rng& rng, std::initializer_list<T> values) {
  return values.begin()[rng() % values.size()];
}

// A tensor with random dtype, shape, strides and values, in a malloc block without slack.
struct RandomTensor {
  gt::Tensor tensor;
  void* memory = nullptr;

  RandomTensor(Rng& rng, const gt::Tensor* like) {
    if (like && rng() % 8 != 0) {
      tensor = *like;
      if (rng() % 4 == 0) tensor.dtype = static_cast<gt::Dtype>(rng() % gt::kDtypeCount);
      if (tensor.rank > 0 && rng() % 3 == 0)
        tensor.shape[rng() % static_cast<uint64_t>(tensor.rank)] = pick<int64_t>(rng, {0, 1, 2, 3, 5});
    } else {
      tensor.dtype = static_cast<gt::Dtype>(rng() % 4 == 0 ? rng() % gt::kDtypeCount : 0);
      tensor.rank = static_cast<int32_t>(rng() % 6);
      for (int i = 0; i < tensor.rank; i++) tensor.shape[i] = pick<int64_t>(rng, {0, 1, 1, 2, 3, 4, 5, 17});
    }
    tensor.numel = 1;
    for (int i = 0; i < tensor.rank; i++) tensor.numel *= tensor.shape[i];
    layout(rng);
    int64_t extent = tensor.numel == 0 ? 0 : 1;
    for (int i = 0; i < tensor.rank && tensor.numel > 0; i++)
      extent += (tensor.shape[i] - 1) * tensor.strides[i];
    const size_t bytes = static_cast<size_t>(extent) * gt::dtype_size(tensor.dtype);
    memory = std::malloc(bytes ? bytes : 1);
    tensor.raw = memory;
    fill(rng, static_cast<int64_t>(extent));
  }
  ~RandomTensor() { std::free(memory); }
  RandomTensor(const RandomTensor&) = delete;

  void layout(Rng& rng) {
    const int kind = static_cast<int>(rng() % 4);
    int order[gt::kMaxRank];
    for (int i = 0; i < tensor.rank; i++) order[i] = i;
    if (kind == 1 && tensor.rank >= 3) {  // channels-last
      for (int i = 1; i + 1 < tensor.rank; i++) order[i] = i + 1;
      order[tensor.rank - 1] = 1;
    } else if (kind == 2) {
      for (int i = tensor.rank - 1; i > 0; i--)
        std::swap(order[i], order[rng() % static_cast<uint64_t>(i + 1)]);
    }
    int64_t stride = 1;
    for (int i = tensor.rank - 1; i >= 0; i--) {
      tensor.strides[order[i]] = kind == 3 && rng() % 3 == 0 ? 0 : stride;
      stride *= tensor.shape[order[i]] ? tensor.shape[order[i]] : 1;
    }
  }

  void fill(Rng& rng, int64_t extent) {
    for (int64_t i = 0; i < extent; i++) {
      const auto integer =
          static_cast<int64_t>(pick<int64_t>(rng, {0, 1, 2, 3, -1, 4, 16, INT64_MAX, INT64_MIN, 1000000}));
      switch (tensor.dtype) {
        case gt::Dtype::f32:
          static_cast<float*>(memory)[i] = static_cast<float>(real(rng));
          break;
        case gt::Dtype::f64:
          static_cast<double*>(memory)[i] = real(rng);
          break;
        case gt::Dtype::i32:
          static_cast<int32_t*>(memory)[i] = static_cast<int32_t>(rng() % 3 == 0 ? integer : integer & 3);
          break;
        case gt::Dtype::i64:
          static_cast<int64_t*>(memory)[i] = rng() % 3 == 0 ? integer : integer & 3;
          break;
        case gt::Dtype::u8:
          static_cast<uint8_t*>(memory)[i] = static_cast<uint8_t>(integer & 255);
          break;
        case gt::Dtype::boolean:
          static_cast<bool*>(memory)[i] = integer & 1;
          break;
        case gt::Dtype::f16:
        case gt::Dtype::bf16:
          static_cast<uint16_t*>(memory)[i] = static_cast<uint16_t>(rng());
          break;
      }
    }
  }

  static double real(Rng& rng) {
    return pick<double>(rng, {0.0, -0.0, 1.0, -1.5, 3.25, 1e30, -1e30, 1e-40, NAN, INFINITY, -INFINITY});
  }
};

}  // namespace

TEST(every_kernel_survives_hostile_arguments) {
  const gt::KernelList all = gt::kernels();
  CHECK(all.count > 0);
  const char* seed_text = std::getenv("GRADTAPE_TEST_SEED");
  const uint64_t seed = seed_text ? std::strtoull(seed_text, nullptr, 10) : 1;
  const char* rounds_text = std::getenv("GRADTAPE_TEST_ROUNDS");
  const int rounds = rounds_text ? std::atoi(rounds_text) : 300;
  int64_t accepted = 0, refused = 0;
  for (int k = 0; k < all.count; k++) {
    const gt::KernelDef* def = all.begin[k].defs[0];
    if (!def) continue;
    for (int round = 0; round < rounds; round++) {
      Rng rng(seed * 1000003 + static_cast<uint64_t>(k) * 10007 + static_cast<uint64_t>(round));
      if (std::getenv("GRADTAPE_TEST_TRACE")) std::fprintf(stderr, "%s round %d\n", def->name, round);
      gt::Command command{};
      command.def = def;
      command.run = def->run;
      command.argc = def->argc;
      std::vector<RandomTensor*> tensors;
      for (int i = 0; i < def->argc; i++) {
        switch (def->kinds[i]) {
          case gt::ArgKind::integer:
            command.args[i].integer =
                pick<int64_t>(rng, {0, 1, 1, 2, 3, -1, 7, 1 << 20, INT64_MAX, INT64_MIN, int64_t{1} << 40});
            break;
          case gt::ArgKind::number:
            command.args[i].number = RandomTensor::real(rng);
            break;
          case gt::ArgKind::boolean:
            command.args[i].integer = static_cast<int64_t>(rng() % 2);
            break;
          case gt::ArgKind::opt_in:
          case gt::ArgKind::opt_out:
            if (rng() % 2) {
              command.args[i].tensor = nullptr;
              break;
            }
            [[fallthrough]];
          default: {
            // Now and then the same tensor twice.
            if (!tensors.empty() && rng() % 6 == 0) {
              command.args[i].tensor = &tensors[rng() % tensors.size()]->tensor;
              break;
            }
            tensors.push_back(
                new RandomTensor(rng, tensors.empty() ? nullptr : &tensors[rng() % tensors.size()]->tensor));
            command.args[i].tensor = &tensors.back()->tensor;
          }
        }
      }
      try {
        gt::Backend().run(command);
        accepted++;
      } catch (const gt::Error&) {
        refused++;
      } catch (const std::exception& error) {
        std::printf("  %s round %d threw %s\n", def->name, round, error.what());
        native_failures()++;
      }
      for (RandomTensor* tensor : tensors) delete tensor;
    }
  }
  std::printf("  %lld calls computed, %lld refused\n", static_cast<long long>(accepted),
              static_cast<long long>(refused));
  CHECK(accepted > 0);
  CHECK(refused > 0);
}

TEST(kernel_records_are_complete) {
  const gt::KernelList all = gt::kernels();
  for (int k = 0; k < all.count; k++) {
    const gt::KernelEntry& entry = all.begin[k];
    CHECK(entry.defs[0] != nullptr);
    if (!entry.defs[0]) continue;
    CHECK(entry.defs[0]->params[0] == '(');
    CHECK(std::strcmp(entry.defs[0]->name, entry.name) == 0);
    if (k > 0) CHECK(std::strcmp(all.begin[k - 1].name, entry.name) < 0);
  }
}
