// A stand-in for cuBLASLt on the host: computes products with plain loops from the descriptors alone, and
// refuses what the real one would refuse. GRADTAPE_EMULATED_CUBLASLT says what kind of library to be:
//
//   version=N | heuristic=none | epilogues=none | workspace=BYTES that the best algorithm wants |
//   fail=NAME (of a function, without cublasLt) | trace (a line per product and per heuristic on stderr)
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <type_traits>
#include <vector>

#include "cuda/cublaslt_api.h"
#include "shared/half.h"
#include "stream.h"
#include "wanted.h"

using namespace gt::cuda::lt;

namespace gt::cuda::lt {

struct HandleData {
  int unused;
};
struct LayoutData {
  DataType type;
  uint64_t rows, columns;
  int64_t leading;
  int32_t batch = 1;
  int64_t stride = 0;
};
struct MatmulData {
  Compute compute;
  DataType scale;
  int32_t transpose_a = kPlain, transpose_b = kPlain;
  uint32_t epilogue = kDefault;
  void* bias = nullptr;
  void* aux = nullptr;
  int64_t aux_leading = 0;
};
struct PreferenceData {
  uint64_t workspace = 0;
  uint32_t reduction = 7;
  uint32_t alignment[4] = {256, 256, 256, 256};  // of A, B, C, D
};

}  // namespace gt::cuda::lt

namespace {

std::string wanted(const char* key) { return wanted_of("GRADTAPE_EMULATED_CUBLASLT", key); }

// A mistake of the caller. The real library often answers that it does not support what it was asked, which
// would pass here as one more case for the plain kernel; so this is another error.
Status wrong(const char* what) {
  std::fprintf(stderr, "cuBLASLt stand-in: %s\n", what);
  return kInternalError;
}

#define CHECK(condition) \
  if (!(condition)) return wrong("not so: " #condition)
#define CALLED(name) \
  if (wanted("fail") == #name) return kAllocFailed

// A matrix as an operand of the product, or as its result.
template <class T>
struct View {
  T* data;
  const LayoutData* layout;
  bool transposed;
  T& at(int64_t batch, int64_t row, int64_t column) const {
    if (transposed) std::swap(row, column);
    return data[batch * layout->stride + row + column * layout->leading];
  }
};

struct Shape {
  int64_t m, n, k, batch;
};

// What an algorithm was made for; it runs nothing else.
struct Recipe {
  uint64_t fingerprint;
  uint64_t workspace;
  uint32_t alignment[4];
  uint16_t bias_alignment, aux_alignment;
  uint32_t reduction;
};
static_assert(sizeof(Recipe) <= sizeof(Algorithm));

uint32_t alignment_of(const void* data) {
  const auto address = reinterpret_cast<uintptr_t>(data);
  return address == 0 ? 0 : static_cast<uint32_t>(std::min<uintptr_t>(256, address & (~address + 1)));
}

uint64_t fingerprint(const MatmulData& matmul, std::initializer_list<const LayoutData*> layouts) {
  uint64_t hash = 7;
  const auto add = [&](uint64_t word) { hash = (hash ^ word) * 1099511628211u; };
  add(matmul.compute);
  for (const LayoutData* layout : layouts) add(layout->type);
  add(static_cast<uint64_t>(matmul.transpose_a));
  add(static_cast<uint64_t>(matmul.transpose_b));
  add(matmul.epilogue);
  add(static_cast<uint64_t>(matmul.aux_leading));
  for (const LayoutData* layout : layouts) {
    add(layout->rows);
    add(layout->columns);
    add(static_cast<uint64_t>(layout->leading));
    add(static_cast<uint64_t>(layout->batch));
    add(static_cast<uint64_t>(layout->stride));
  }
  return hash;
}

Status check_problem(const MatmulData& matmul, const LayoutData& a, const LayoutData& b, const LayoutData& c,
                     const LayoutData& d, Shape& shape) {
  for (const LayoutData* layout : {&a, &b, &c, &d}) {
    CHECK(layout->type == d.type);
    CHECK(layout->rows > 0 && layout->columns > 0 && layout->batch > 0);
    CHECK(layout->rows <= INT32_MAX && layout->columns <= INT32_MAX && layout->batch <= 65535);
    CHECK(layout->leading >= static_cast<int64_t>(layout->rows));
    CHECK(layout->batch == d.batch && layout->stride >= 0);
  }
  CHECK(c.rows == d.rows && c.columns == d.columns && c.leading == d.leading && c.stride == d.stride);
  CHECK(matmul.scale == (d.type == kReal64 ? kReal64 : kReal32));
  CHECK(matmul.compute != kCompute32Tf32 || d.type == kReal32);
  CHECK((matmul.compute == kCompute64) == (d.type == kReal64));
  const bool ta = matmul.transpose_a == kTransposed, tb = matmul.transpose_b == kTransposed;
  shape = {static_cast<int64_t>(d.rows), static_cast<int64_t>(d.columns),
           static_cast<int64_t>(ta ? a.rows : a.columns), d.batch};
  CHECK(static_cast<int64_t>(ta ? a.columns : a.rows) == shape.m);
  CHECK(static_cast<int64_t>(tb ? b.columns : b.rows) == shape.k);
  CHECK(static_cast<int64_t>(tb ? b.rows : b.columns) == shape.n);
  const uint32_t e = matmul.epilogue;
  if ((e & (kBias | kBiasGradient | kBiasGradientB)) != 0) CHECK(matmul.bias);
  if ((e & kAux) != 0) {
    const int64_t multiple = (e & (kRelu | kReluGradient)) != 0 ? 128 : 8;
    CHECK(matmul.aux && matmul.aux_leading >= shape.m && matmul.aux_leading % multiple == 0);
    CHECK(alignment_of(matmul.aux) >= 16);
    CHECK(d.batch == 1);
  }
  return kSuccess;
}

double round_tf32(double x) {
  auto value = static_cast<float>(x);
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  bits = (bits + 0x1000) & ~0x1fffu;
  std::memcpy(&value, &bits, sizeof bits);
  return value;
}

double gelu(double x) { return x * 0.5 * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))); }
double gelu_gradient(double x) {
  const double t = std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * 0.7978845608028654 * (1 + 3 * 0.044715 * x * x);
}

double wide(double x) { return x; }
double wide(gt::Float16 x) { return gt::to_float(x); }
double wide(gt::BFloat16 x) { return gt::to_float(x); }
template <class T>
T narrow(double x) {
  if constexpr (std::is_same_v<T, gt::Float16>)
    return gt::to_float16(static_cast<float>(x));
  else if constexpr (std::is_same_v<T, gt::BFloat16>)
    return gt::to_bfloat16(static_cast<float>(x));
  else
    return static_cast<T>(x);
}

// Sums are joined in the type of the result if `coarse`, as some reduction schemes do.
template <class T>
void compute(const MatmulData& matmul, const Shape& shape, double alpha, const View<T>& a, const View<T>& b,
             double beta, const View<T>& c, const View<T>& d, bool coarse) {
  const uint32_t e = matmul.epilogue;
  const bool tf32 = matmul.compute == kCompute32Tf32;
  auto* const bias = static_cast<T*>(matmul.bias);
  auto* const bits = static_cast<uint8_t*>(matmul.aux);
  auto* const numbers = static_cast<T*>(matmul.aux);
  std::vector<double> row_sums(static_cast<size_t>(shape.m));
  for (int64_t batch = 0; batch < shape.batch; batch++) {
    for (int64_t j = 0; j < shape.n; j++) {
      for (int64_t i = 0; i < shape.m; i++) {
        double sum = 0;
        for (int64_t l = 0; l < shape.k; l++) {
          const double x = wide(a.at(batch, i, l)), y = wide(b.at(batch, l, j));
          sum += tf32 ? round_tf32(x) * round_tf32(y) : x * y;
          if (coarse) sum = wide(narrow<T>(sum));
        }
        double value = alpha * sum;
        if (beta != 0) value += beta * wide(c.at(batch, i, j));  // with 0, C is not read
        if ((e & kBias) != 0) value += wide(bias[i]);
        const int64_t aux = i + j * matmul.aux_leading;
        if ((e & kRelu) != 0) {
          if ((e & kAux) != 0) {
            const auto bit = static_cast<uint8_t>(1 << aux % 8);
            bits[aux / 8] = static_cast<uint8_t>(value > 0 ? bits[aux / 8] | bit : bits[aux / 8] & ~bit);
          }
          value = value > 0 || value != value ? value : 0;
        }
        if ((e & kGelu) != 0) {
          if ((e & kAux) != 0) numbers[aux] = narrow<T>(value);
          value = gelu(value);
        }
        if ((e & kReluGradient) != 0) value = (bits[aux / 8] >> aux % 8 & 1) != 0 ? value : 0;
        if ((e & kGeluGradient) != 0) value *= gelu_gradient(wide(numbers[aux]));
        d.at(batch, i, j) = narrow<T>(value);
        row_sums[static_cast<size_t>(i)] += value;
      }
    }
  }
  if ((e & kBiasGradient) != 0) {
    for (int64_t i = 0; i < shape.m; i++) bias[i] = narrow<T>(row_sums[static_cast<size_t>(i)]);
  }
  if ((e & kBiasGradientB) != 0) {
    for (int64_t j = 0; j < shape.n; j++) {
      double sum = 0;
      for (int64_t l = 0; l < shape.k; l++) sum += wide(b.at(0, l, j));
      bias[j] = narrow<T>(sum);
    }
  }
}

// Copies an attribute of just that size.
template <class T>
Status assign(T& to, const void* value, size_t bytes) {
  CHECK(value && bytes == sizeof to);
  std::memcpy(&to, value, bytes);
  return kSuccess;
}

}  // namespace

extern "C" {

size_t cublasLtGetVersion() {
  const std::string version = wanted("version");
  return version.empty() ? 130101 : static_cast<size_t>(std::atoll(version.c_str()));
}
Status cublasLtCreate(Handle* handle) {
  CALLED(Create);
  *handle = new HandleData{0};
  return kSuccess;
}
const char* cublasLtGetStatusName(Status status) {
  switch (status) {
    case kSuccess:
      return "CUBLAS_STATUS_SUCCESS";
    case kAllocFailed:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case kInvalidValue:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case kNotSupported:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case kInternalError:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    default:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
  }
}

Status cublasLtMatrixLayoutCreate(Layout* layout, DataType type, uint64_t rows, uint64_t columns,
                                  int64_t leading) {
  CALLED(MatrixLayoutCreate);
  CHECK(type == kReal32 || type == kReal64 || type == kReal16 || type == kBrain16);
  *layout = new LayoutData{type, rows, columns, leading};
  return kSuccess;
}
Status cublasLtMatrixLayoutDestroy(Layout layout) {
  delete layout;
  return kSuccess;
}
Status cublasLtMatrixLayoutSetAttribute(Layout layout, LayoutAttribute attribute, const void* value,
                                        size_t bytes) {
  switch (attribute) {
    case kLayoutBatchCount:
      return assign(layout->batch, value, bytes);
    case kLayoutBatchStride:
      return assign(layout->stride, value, bytes);
  }
  return wrong("an unknown attribute of a layout");
}

Status cublasLtMatmulDescCreate(Matmul* matmul, Compute compute, DataType scale) {
  CALLED(MatmulDescCreate);
  *matmul = new MatmulData{compute, scale};
  return kSuccess;
}
Status cublasLtMatmulDescDestroy(Matmul matmul) {
  delete matmul;
  return kSuccess;
}
Status cublasLtMatmulDescSetAttribute(Matmul matmul, MatmulAttribute attribute, const void* value,
                                      size_t bytes) {
  switch (attribute) {
    case kTransposeA:
      return assign(matmul->transpose_a, value, bytes);
    case kTransposeB:
      return assign(matmul->transpose_b, value, bytes);
    case kEpilogue:
      return assign(matmul->epilogue, value, bytes);
    case kBiasPointer:
      return assign(matmul->bias, value, bytes);
    case kAuxPointer:
      return assign(matmul->aux, value, bytes);
    case kAuxLeading:
      return assign(matmul->aux_leading, value, bytes);
  }
  return wrong("an unknown attribute of a product");
}

Status cublasLtMatmulPreferenceCreate(Preference* preference) {
  CALLED(MatmulPreferenceCreate);
  *preference = new PreferenceData;
  return kSuccess;
}
Status cublasLtMatmulPreferenceDestroy(Preference preference) {
  delete preference;
  return kSuccess;
}
Status cublasLtMatmulPreferenceSetAttribute(Preference preference, PreferenceAttribute attribute,
                                            const void* value, size_t bytes) {
  if (attribute == kMaxWorkspace) return assign(preference->workspace, value, bytes);
  if (attribute == kReductionSchemes) return assign(preference->reduction, value, bytes);
  const int operand = attribute - kAlignmentA;
  if (operand < 0 || operand > 3) return wrong("an unknown attribute of a preference");
  return assign(preference->alignment[operand], value, bytes);
}

Status cublasLtMatmulAlgoGetHeuristic(Handle handle, Matmul matmul, Layout a, Layout b, Layout c, Layout d,
                                      Preference preference, int wish, Heuristic* results, int* count) {
  CALLED(MatmulAlgoGetHeuristic);
  if (!wanted("trace").empty()) std::fprintf(stderr, "cublasLtMatmulAlgoGetHeuristic\n");
  CHECK(handle && matmul && a && b && c && d && preference && results && count && wish > 0);
  *count = 0;
  Shape shape;
  if (const Status status = check_problem(*matmul, *a, *b, *c, *d, shape); status != kSuccess) return status;
  if (wanted("heuristic") == "none") return kNotSupported;
  // In float64 there are no epilogues; and a heuristic may find nothing without calling it an error.
  if (matmul->epilogue != kDefault && (d->type == kReal64 || wanted("epilogues") == "none")) return kSuccess;
  const std::string wish_bytes = wanted("workspace");
  const uint64_t workspace =
      wish_bytes.empty() ? (shape.k > 16 ? 4096 : 0) : static_cast<uint64_t>(std::atoll(wish_bytes.c_str()));
  Recipe recipe{fingerprint(*matmul, {a, b, c, d}),
                workspace <= preference->workspace ? workspace : 0,
                {},
                static_cast<uint16_t>(alignment_of(matmul->bias)),
                static_cast<uint16_t>(alignment_of(matmul->aux)),
                preference->reduction};
  std::copy_n(preference->alignment, 4, recipe.alignment);
  results[0] = {};
  std::memcpy(&results[0].algorithm, &recipe, sizeof recipe);
  results[0].workspace = recipe.workspace;
  results[0].state = kSuccess;
  *count = 1;
  return kSuccess;
}

Status cublasLtMatmul(Handle handle, Matmul matmul, const void* alpha, const void* a, Layout a_layout,
                      const void* b, Layout b_layout, const void* beta, const void* c, Layout c_layout,
                      void* d, Layout d_layout, const Algorithm* algorithm, void* workspace,
                      size_t workspace_bytes, CUstream_st* stream) {
  CALLED(Matmul);
  CHECK(handle && matmul && alpha && beta && a && b && c && d && algorithm && stream);
  Shape shape;
  if (const Status status = check_problem(*matmul, *a_layout, *b_layout, *c_layout, *d_layout, shape);
      status != kSuccess)
    return status;
  Recipe recipe;
  std::memcpy(&recipe, algorithm, sizeof recipe);
  CHECK(recipe.fingerprint == fingerprint(*matmul, {a_layout, b_layout, c_layout, d_layout}));
  CHECK(workspace_bytes >= recipe.workspace && (recipe.workspace == 0 || workspace));
  CHECK(recipe.workspace == 0 || alignment_of(workspace) >= 256);
  const void* const operands[] = {a, b, c, d};
  for (int i = 0; i < 4; i++) CHECK(alignment_of(operands[i]) >= std::min(recipe.alignment[i], 256u));
  if ((matmul->epilogue & (kBias | kBiasGradient | kBiasGradientB)) != 0)
    CHECK(alignment_of(matmul->bias) >= std::min(uint32_t{recipe.bias_alignment}, 16u));
  const auto factor = [&](const void* data) {
    return matmul->scale == kReal64 ? *static_cast<const double*>(data) : *static_cast<const float*>(data);
  };
  enqueue(stream, [=, what = *matmul, a_form = *a_layout, b_form = *b_layout, d_form = *d_layout,
                   alpha = factor(alpha), beta = factor(beta)]() mutable {
    // An algorithm owns its workspace, so whoever left something there has lost it.
    if (recipe.workspace > 0) std::memset(workspace, 0xCD, recipe.workspace);
    const bool ta = what.transpose_a == kTransposed, tb = what.transpose_b == kTransposed;
    const auto go = [&]<class T>(T*) {
      const auto view = [](const void* data, Layout layout, bool transposed) {
        return View<T>{const_cast<T*>(static_cast<const T*>(data)), layout, transposed};
      };
      compute<T>(what, shape, alpha, view(a, &a_form, ta), view(b, &b_form, tb), beta,
                 view(c, &d_form, false), view(d, &d_form, false),
                 sizeof(T) == 2 && (recipe.reduction & 5) != 0);
    };
    switch (d_form.type) {
      case kReal64:
        go(static_cast<double*>(nullptr));
        break;
      case kReal32:
        go(static_cast<float*>(nullptr));
        break;
      case kReal16:
        go(static_cast<gt::Float16*>(nullptr));
        break;
      case kBrain16:
        go(static_cast<gt::BFloat16*>(nullptr));
        break;
    }
    if (wanted("trace").empty()) return;
    std::fprintf(
        stderr, "cublasLtMatmul %d%s %d%d %lld %lld %lld x%lld epilogue %u workspace %zu\n", what.compute,
        d_form.type == kReal16    ? " float16"
        : d_form.type == kBrain16 ? " bfloat16"
                                  : "",
        ta, tb, static_cast<long long>(shape.m), static_cast<long long>(shape.n),
        static_cast<long long>(shape.k), static_cast<long long>(shape.batch), what.epilogue, workspace_bytes);
  });
  return kSuccess;
}

}  // extern "C"

#define SAME(member, symbol) \
  static_assert(std::is_same_v<decltype(&symbol), decltype(Api::member)>, "another signature");
GT_CUBLASLT_FUNCTIONS(SAME)
