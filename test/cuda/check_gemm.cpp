// Checks gemm() with every epilogue, transpose and stride against plain loops; the op suite reaches few of
// them. Prints what is wrong, and ends with 1 then. Built with the engine, emulated or not.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include "core/error.h"
#include "cuda/context.h"
#include "cuda/cublaslt.h"

using namespace gt;
using namespace gt::cuda;

namespace {

int failures = 0;

// Numbers that repeat from run to run, in [-1, 1).
double next_number() {
  static uint64_t state = 1;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return static_cast<double>(static_cast<int64_t>(state) >> 11) / 4503599627370496.0;
}

void move(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (bytes > 0) check(cudaMemcpyAsync(to, from, bytes, kind, stream()), "cudaMemcpyAsync");
  check(cudaStreamSynchronize(stream()), "cudaStreamSynchronize");
}

// An array on the device and what it should hold.
template <class T>
struct Array {
  std::vector<T> host;
  T* memory = nullptr;
  T* device;
  // Starts that many elements away from an aligned address.
  explicit Array(int64_t n, int64_t shift = 0) : host(static_cast<size_t>(n)) {
    constexpr bool bytes = sizeof(T) == 1;
    for (T& x : host) x = static_cast<T>(bytes ? 128 + 128 * next_number() : next_number());
    const size_t elements = host.size() + static_cast<size_t>(shift) + 1;
    check(cudaMalloc(reinterpret_cast<void**>(&memory), elements * sizeof(T)), "cudaMalloc");
    device = memory + shift;
    move(device, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice);
  }
  ~Array() { cudaFree(memory); }
  T& operator[](int64_t i) { return host[static_cast<size_t>(i)]; }
  // The greatest difference between the device and what should be there.
  double difference() const {
    std::vector<T> got(host.size());
    move(got.data(), device, got.size() * sizeof(T), cudaMemcpyDeviceToHost);
    double worst = 0;
    for (size_t i = 0; i < got.size(); i++) {
      const double apart = std::fabs(static_cast<double>(got[i]) - static_cast<double>(host[i]));
      if (!(apart <= worst)) worst = apart;
    }
    return worst;
  }
};

double gelu(double x) { return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))); }
double gelu_gradient(double x) {
  const double step = 1e-6;
  return (gelu(x + step) - gelu(x - step)) / (2 * step);
}

struct Case {
  int64_t m, n, k, pad;
  bool ta, tb;
  Epilogue epilogue;
  bool aux, accumulate;
  int64_t batch;
  bool broadcast;  // one b for the whole batch
};

template <class T>
void run(const Case& c) {
  Gemm g;
  g.dtype = sizeof(T) == 8 ? Dtype::f64 : Dtype::f32;
  g.m = c.m;
  g.n = c.n;
  g.k = c.k;
  g.transpose_a = c.ta;
  g.transpose_b = c.tb;
  g.lda = (c.ta ? c.m : c.k) + c.pad;
  g.ldb = (c.tb ? c.k : c.n) + c.pad;
  g.ldy = c.n + c.pad;
  g.batch = c.batch;
  g.a_batch = (c.ta ? c.k : c.m) * g.lda + c.pad;
  g.b_batch = c.broadcast ? 0 : (c.tb ? c.n : c.k) * g.ldb;
  g.y_batch = c.m * g.ldy + c.pad;
  g.accumulate = c.accumulate;
  g.epilogue = c.epilogue;
  const bool relu = c.epilogue == Epilogue::relu_bias || c.epilogue == Epilogue::relu_bias_grads;
  const bool gradient = c.epilogue == Epilogue::relu_bias_grads || c.epilogue == Epilogue::gelu_bias_grads;
  const int64_t odd = c.pad > 0 ? 1 : 0;
  Array<T> a(c.batch * g.a_batch, odd), b(std::max(c.batch * g.b_batch, (c.tb ? c.n : c.k) * g.ldb), 2 * odd),
      y(c.batch * g.y_batch, 3 * odd), bias(std::max(c.m, c.n), odd);
  const int64_t ld = aux_ld(g);
  Array<T> numbers(c.m * ld);
  Array<uint8_t> bits(c.m * ld / 8);
  if (c.aux) g.aux = relu ? static_cast<void*>(bits.device) : numbers.device;
  if (c.epilogue != Epilogue::none) g.bias = bias.device;

  std::vector<double> sums(static_cast<size_t>(std::max(c.m, c.n)));
  for (int64_t l = 0; l < c.batch; l++) {
    for (int64_t i = 0; i < c.m; i++) {
      for (int64_t j = 0; j < c.n; j++) {
        T& to = y[l * g.y_batch + i * g.ldy + j];
        double value = c.accumulate ? static_cast<double>(to) : 0;
        for (int64_t q = 0; q < c.k; q++) {
          value += static_cast<double>(a[l * g.a_batch + (c.ta ? q * g.lda + i : i * g.lda + q)]) *
                   static_cast<double>(b[l * g.b_batch + (c.tb ? j * g.ldb + q : q * g.ldb + j)]);
        }
        const int64_t at = i * ld + j;
        const auto bit = static_cast<uint8_t>(1 << at % 8);
        switch (c.epilogue) {
          case Epilogue::none:
          case Epilogue::bias_grad:
            break;
          case Epilogue::bias:
            value += bias[j];
            break;
          case Epilogue::relu_bias:
            value += bias[j];
            if (c.aux)
              bits[at / 8] = static_cast<uint8_t>(value > 0 ? bits[at / 8] | bit : bits[at / 8] & ~bit);
            value = std::max(value, 0.0);
            break;
          case Epilogue::gelu_bias:
            value += bias[j];
            if (c.aux) numbers[at] = static_cast<T>(value);
            value = gelu(value);
            break;
          case Epilogue::relu_bias_grads:
            value = (bits[at / 8] & bit) != 0 ? value : 0;
            break;
          case Epilogue::gelu_bias_grads:
            value *= gelu_gradient(numbers[at]);
            break;
        }
        to = static_cast<T>(value);
        if (gradient) sums[static_cast<size_t>(j)] += value;
      }
      for (int64_t q = 0; c.epilogue == Epilogue::bias_grad && q < c.k; q++)
        sums[static_cast<size_t>(i)] += static_cast<double>(a[c.ta ? q * g.lda + i : i * g.lda + q]);
    }
  }
  for (int64_t j = 0; j < (gradient ? c.n : c.epilogue == Epilogue::bias_grad ? c.m : 0); j++)
    bias[j] = static_cast<T>(sums[static_cast<size_t>(j)]);

  gemm("check", g, a.device, b.device, y.device);
  // Of a byte of bits the last ones may lie beyond the row.
  if (relu && c.n % 8 != 0) {
    std::vector<uint8_t> got(bits.host.size());
    move(got.data(), bits.device, got.size(), cudaMemcpyDeviceToHost);
    const auto beyond = static_cast<uint8_t>(0xff << c.n % 8);
    for (int64_t i = 0; i < c.m; i++) {
      uint8_t& byte = bits[(i * ld + c.n) / 8];
      byte = static_cast<uint8_t>((byte & ~beyond) | (got[static_cast<size_t>(i * ld + c.n) / 8] & beyond));
    }
  }
  const double allowed = (sizeof(T) == 8 ? 1e-8 : 2e-5) * std::sqrt(1.0 + static_cast<double>(c.k + c.m));
  const double worst[] = {y.difference(), bias.difference(), numbers.difference(), bits.difference()};
  for (int i = 0; i < 4; i++) {
    if (worst[i] <= allowed) continue;
    static const char* const names[] = {"y", "bias", "aux", "bits"};
    std::printf(
        "%s is off by %g: float%zu (%lld, %lld, %lld) pad %lld ta %d tb %d epilogue %d aux %d add %d x%lld\n",
        names[i], worst[i], sizeof(T) * 8, static_cast<long long>(c.m), static_cast<long long>(c.n),
        static_cast<long long>(c.k), static_cast<long long>(c.pad), c.ta, c.tb, static_cast<int>(c.epilogue),
        c.aux, c.accumulate, static_cast<long long>(c.batch));
    failures++;
  }
}

void run_both(const Case& c) {
  run<float>(c);
  run<double>(c);
}

void run_all() {
  const int64_t sizes[][3] = {{1, 1, 1}, {3, 5, 4}, {17, 130, 33}, {40, 8, 129},
                              {2, 3, 0}, {0, 3, 2}, {300, 9, 2}};
  for (const auto& [m, n, k] : sizes) {
    for (int form = 0; form < 8; form++) {
      const bool ta = form & 1, tb = form & 2;
      const int64_t pad = form & 4 ? 3 : 0;
      for (int e = 0; e <= static_cast<int>(Epilogue::bias_grad); e++) {
        const auto epilogue = static_cast<Epilogue>(e);
        const bool forward = epilogue == Epilogue::relu_bias || epilogue == Epilogue::gelu_bias;
        const bool backward = epilogue == Epilogue::relu_bias_grads || epilogue == Epilogue::gelu_bias_grads;
        for (int aux = 0; aux < 2; aux++) {
          if (aux ? !forward && !backward : backward) continue;
          run_both({m, n, k, pad, ta, tb, epilogue, aux == 1, false, 1, false});
        }
      }
      run_both({m, n, k, pad, ta, tb, Epilogue::none, false, true, 1, false});
      run_both({m, n, k, pad, ta, tb, Epilogue::bias_grad, false, true, 1, false});
      for (int broadcast = 0; broadcast < 2; broadcast++) {
        run_both({m, n, k, pad, ta, tb, Epilogue::none, false, true, 3, broadcast == 1});
        run_both({m, n, k, pad, ta, tb, Epilogue::bias, false, false, 3, broadcast == 1});
      }
    }
  }
  // More than a launch takes.
  run_both({1, 2, 3, 0, false, false, Epilogue::bias, false, false, 70000, false});
}

}  // namespace

int main() {
  try {
    Fault* fault;
    check(cudaMalloc(reinterpret_cast<void**>(&fault), sizeof(Fault)), "cudaMalloc");
    const Scope scope({&gpu(0), fault, 0, "check"});
    run_all();
    check(cudaStreamSynchronize(stream()), "cudaStreamSynchronize");
    cudaFree(fault);
  } catch (const Error& error) {
    std::printf("%s\n", error.message.c_str());
    return 1;
  }
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
