#include "cuda/cublaslt.h"

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <unordered_map>

#include "cuda/context.h"
#include "cuda/cublaslt_api.h"
#include "cuda/library.h"
#include "cuda/settings.h"

namespace gt::cuda {

namespace {

using namespace lt;

constexpr size_t kOldest = 120000;  // version 12.0

struct Library {
  Api api{};
  std::string path, version;
  std::string reason;  // why it cannot be used
};

void load(Library& library) {
  Found found = find_library({"cuBLASLt", "libcublasLt.so.13", "cublas", "nvidia-cublas"});
  if (!found.handle) {
    const Found older = find_library({"cuBLASLt", "libcublasLt.so.12", "cublas", "nvidia-cublas-cu12"});
    if (!older.handle) {
      library.reason = found.reason;
      return;
    }
    found = older;
  }
  library.path = found.path;
  Loader load{found};
#define GT_LOAD(member, symbol) load(library.api.member, #symbol);
  GT_CUBLASLT_FUNCTIONS(GT_LOAD)
#undef GT_LOAD
  if (library.api.get_version) library.version = version_text(library.api.get_version());
  const char* const advice = "; install a newer one with: pip install --upgrade nvidia-cublas";
  if (library.api.get_version && library.api.get_version() < kOldest) {
    library.reason = "cuBLASLt " + library.version + " is too old (" + found.path + "), gradtape needs " +
                     version_text(kOldest) + advice;
  } else if (load.missing) {
    library.reason = found.path + " has no function " + load.missing + advice;
  }
}

const Library& library() {
  static const Library& loaded = *[] {
    auto* made = new Library;
    load(*made);
    return made;
  }();
  return loaded;
}

[[noreturn]] void refuse(const char* op, const char* call, Status status) {
  const ErrorCode code = status == kAllocFailed ? ErrorCode::out_of_memory : ErrorCode::internal;
  fail(code, "%s: %s failed: %s", op, call, library().api.status_name(status));
}
#define LT(call, ...)                                                                \
  do {                                                                               \
    if (const Status status_ = library().api.call(__VA_ARGS__); status_ != kSuccess) \
      refuse(op, "cuBLASLt's " #call, status_);                                      \
  } while (0)

// Frees a descriptor with a function of the table.
template <auto Destroy>
struct Destroyer {
  template <class T>
  void operator()(T* descriptor) const {
    (library().api.*Destroy)(descriptor);
  }
};
template <class T, auto Destroy>
using Owned = std::unique_ptr<std::remove_pointer_t<T>, Destroyer<Destroy>>;

struct Plan {
  bool supported = false;
  Owned<Matmul, &Api::matmul_destroy> matmul;
  Owned<Layout, &Api::layout_destroy> a, b, y;  // ours: cuBLASLt has them the other way round
  Algorithm algorithm{};
  size_t workspace = 0;
  uint64_t used = 0;
};

using Key = std::array<int64_t, 12>;
struct Hash {
  size_t operator()(const Key& key) const {
    uint64_t hash = 1469598103934665603u;
    for (const int64_t word : key) hash = (hash ^ static_cast<uint64_t>(word)) * 1099511628211u;
    return static_cast<size_t>(hash ^ hash >> 32);
  }
};

// Of one GPU, used by its engine thread alone.
struct Lt {
  Handle handle = nullptr;
  std::unordered_map<Key, Plan, Hash> plans;
  uint64_t clock = 0;
};
constexpr size_t kMostPlans = 4096;

Lt& lt_of_gpu(const char* op) {
  static Lt* all[64] = {};
  Lt*& lt = all[context().gpu->index];
  if (!lt) lt = new Lt;
  if (!lt->handle) LT(create, &lt->handle);
  return *lt;
}

// Beyond 16 bytes no algorithm gains anything, and sums that depend on the address would not repeat.
uint32_t alignment(const void* data) {
  const auto address = reinterpret_cast<uintptr_t>(data);
  return static_cast<uint32_t>(std::min<uintptr_t>(16, address & (~address + 1)));
}

int64_t most_workspace() {
  const int capability = context().gpu->compute_capability;
  return INT64_C(1) << (capability >= 90 ? 25 : capability >= 80 ? 22 : 20);
}

struct Alignments {
  uint32_t a, b, y, bias, aux;
};

uint32_t epilogue_of(const Gemm& g) {
  const uint32_t aux = g.aux ? uint32_t{kAux} : 0, bias = g.bias ? uint32_t{kBias} : 0;
  switch (g.epilogue) {
    case Epilogue::none:
      return kDefault;
    case Epilogue::bias:
      return kBias;
    case Epilogue::relu_bias:
      return kRelu | bias | aux;
    case Epilogue::gelu_bias:
      return kGelu | bias | aux;
    case Epilogue::relu_bias_grads:
      return kReluGradient | kBiasGradient | kAux;
    case Epilogue::gelu_bias_grads:
      return kGeluGradient | kBiasGradient | kAux;
    case Epilogue::bias_grad:
      return kBiasGradientB;
  }
  return kDefault;
}

Key key_of(const Gemm& g, const Alignments& at, bool tf32, int64_t workspace) {
  // Zero is no address, so its alignment is one of nothing.
  const auto log2 = [](uint32_t n) { return static_cast<int64_t>(n == 0 ? 7 : __builtin_ctz(n)); };
  const int64_t packed = static_cast<int64_t>(g.dtype) | g.transpose_a << 4 | g.transpose_b << 5 |
                         g.accumulate << 6 | tf32 << 7 | (g.aux != nullptr) << 8 |
                         static_cast<int64_t>(g.epilogue) << 12 | log2(at.a) << 16 | log2(at.b) << 20 |
                         log2(at.y) << 24 | log2(at.bias) << 28 | log2(at.aux) << 32;
  return {g.m, g.n, g.k, g.lda, g.ldb, g.ldy, g.batch, g.a_batch, g.b_batch, g.y_batch, packed, workspace};
}

DataType type_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::f64:
      return kReal64;
    case Dtype::f16:
      return kReal16;
    case Dtype::bf16:
      return kBrain16;
    default:
      return kReal32;
  }
}

Layout make_layout(const char* op, const Gemm& g, int64_t rows, int64_t columns, int64_t leading,
                   int64_t stride) {
  Layout made = nullptr;
  LT(layout_create, &made, type_of(g.dtype), static_cast<uint64_t>(rows), static_cast<uint64_t>(columns),
     leading);
  if (g.batch > 1) {
    const auto count = static_cast<int32_t>(g.batch);
    LT(layout_set, made, kLayoutBatchCount, &count, sizeof count);
    LT(layout_set, made, kLayoutBatchStride, &stride, sizeof stride);
  }
  return made;
}

void set_pointers(const char* op, const Plan& plan, const Gemm& g) {
  if (g.bias && g.epilogue != Epilogue::none)
    LT(matmul_set, plan.matmul.get(), kBiasPointer, &g.bias, sizeof g.bias);
  if (g.aux && g.epilogue != Epilogue::none)
    LT(matmul_set, plan.matmul.get(), kAuxPointer, &g.aux, sizeof g.aux);
}

// Note [Rows and columns]. cuBLASLt stores matrices by columns. A row-major y = a · b is a column-major
// yᵀ = bᵀ · aᵀ in the same memory: so our b is its A and our a its B, with n rows and m columns of results;
// its bias per row is ours per column.
void make_plan(const char* op, Lt& lt, Plan& plan, const Gemm& g, const Alignments& at, bool tf32,
               int64_t workspace) {
  const bool wide = g.dtype == Dtype::f64;
  Matmul matmul = nullptr;
  LT(matmul_create, &matmul,
     wide   ? kCompute64
     : tf32 ? kCompute32Tf32
            : kCompute32,
     wide ? kReal64 : kReal32);
  plan.matmul.reset(matmul);
  const Transpose first = g.transpose_b ? kTransposed : kPlain, second = g.transpose_a ? kTransposed : kPlain;
  LT(matmul_set, matmul, kTransposeA, &first, sizeof first);
  LT(matmul_set, matmul, kTransposeB, &second, sizeof second);
  const uint32_t epilogue = epilogue_of(g);
  LT(matmul_set, matmul, kEpilogue, &epilogue, sizeof epilogue);
  set_pointers(op, plan, g);
  if (g.aux && (epilogue & kAux) != 0) {
    const int64_t leading = aux_ld(g);
    LT(matmul_set, matmul, kAuxLeading, &leading, sizeof leading);
  }
  const bool ta = g.transpose_a, tb = g.transpose_b;
  plan.a.reset(make_layout(op, g, ta ? g.m : g.k, ta ? g.k : g.m, g.lda, g.a_batch));
  plan.b.reset(make_layout(op, g, tb ? g.k : g.n, tb ? g.n : g.k, g.ldb, g.b_batch));
  plan.y.reset(make_layout(op, g, g.n, g.m, g.ldy, g.y_batch));

  Preference preference = nullptr;
  LT(preference_create, &preference);
  const Owned<Preference, &Api::preference_destroy> owned(preference);
  const auto limit = static_cast<uint64_t>(workspace);
  LT(preference_set, preference, kMaxWorkspace, &limit, sizeof limit);
  if (is_half_type(g.dtype)) {
    const uint32_t schemes = kReduceInComputeType;
    LT(preference_set, preference, kReductionSchemes, &schemes, sizeof schemes);
  }
  LT(preference_set, preference, kAlignmentA, &at.b, sizeof at.b);
  LT(preference_set, preference, kAlignmentB, &at.a, sizeof at.a);
  LT(preference_set, preference, kAlignmentC, &at.y, sizeof at.y);
  LT(preference_set, preference, kAlignmentD, &at.y, sizeof at.y);
  Heuristic found{};
  int count = 0;
  const Status status = library().api.heuristic(lt.handle, matmul, plan.b.get(), plan.a.get(), plan.y.get(),
                                                plan.y.get(), preference, 1, &found, &count);
  if (status != kSuccess && status != kNotSupported && status != kInvalidValue && status != kArchMismatch)
    refuse(op, "cuBLASLt's heuristic", status);
  plan.supported = status == kSuccess && count > 0 && found.state == kSuccess;
  plan.algorithm = found.algorithm;
  plan.workspace = found.workspace;
}

Plan& plan_for(const char* op, Lt& lt, const Gemm& g, const Alignments& at, int64_t workspace) {
  const bool tf32 = g.dtype == Dtype::f32 && settings().tf32;
  const Key key = key_of(g, at, tf32, workspace);
  auto known = lt.plans.find(key);
  if (known == lt.plans.end()) {
    if (lt.plans.size() >= kMostPlans) {
      auto oldest = lt.plans.begin();
      for (auto it = lt.plans.begin(); it != lt.plans.end(); ++it) {
        if (it->second.used < oldest->second.used) oldest = it;
      }
      lt.plans.erase(oldest);
    }
    Plan made;
    make_plan(op, lt, made, g, at, tf32, workspace);
    known = lt.plans.emplace(key, std::move(made)).first;
  }
  known->second.used = ++lt.clock;
  return known->second;
}

bool run(const char* op, Lt& lt, const Gemm& g, const void* a, const void* b, void* y, int64_t workspace) {
  const Alignments at{alignment(a), alignment(b), alignment(y), alignment(g.bias), alignment(g.aux)};
  Plan& plan = plan_for(op, lt, g, at, workspace);
  if (!plan.supported) return false;
  void* memory = nullptr;
  if (plan.workspace > 0) {
    try {
      memory = scratch(static_cast<int64_t>(plan.workspace), kGemmScratch);
    } catch (const Error& error) {
      // There are algorithms without it.
      if (error.code != ErrorCode::out_of_memory || workspace == 0) throw;
      return run(op, lt, g, a, b, y, 0);
    }
  }
  set_pointers(op, plan, g);
  const double ones = 1, zeros = 0;
  const float one = 1, zero = 0;
  const bool wide = g.dtype == Dtype::f64;
  const void* const alpha = wide ? static_cast<const void*>(&ones) : &one;
  const void* const beta = g.accumulate ? alpha : wide ? static_cast<const void*>(&zeros) : &zero;
  const Status status =
      library().api.matmul(lt.handle, plan.matmul.get(), alpha, b, plan.b.get(), a, plan.a.get(), beta, y,
                           plan.y.get(), y, plan.y.get(), &plan.algorithm, memory, plan.workspace, stream());
  if (status == kNotSupported) return plan.supported = false;
  if (status != kSuccess) refuse(op, "cublasLtMatmul", status);
  return true;
}

}  // namespace

bool gemm_cublaslt(const char* op, const Gemm& g, const void* a, const void* b, void* y) {
  if (!library().reason.empty()) fail(ErrorCode::device, "%s: %s", op, library().reason.c_str());
  if (std::max({g.m, g.n, g.k}) > std::numeric_limits<int32_t>::max()) return false;
  return run(op, lt_of_gpu(op), g, a, b, y, most_workspace());
}

LibraryReport report_cublaslt() {
  const Library& loaded = library();
  return {"cuBLASLt", loaded.path, loaded.version, loaded.reason};
}

}  // namespace gt::cuda
