#include "core/check.h"

#include <cstdio>

namespace gt {

namespace {
struct ShapeText {
  char text[256];
  explicit ShapeText(const Tensor& t) {
    int at = snprintf(text, sizeof text, "[");
    for (int i = 0; i < t.rank; i++) {
      at += snprintf(text + at, sizeof text - at, i ? ", %lld" : "%lld", static_cast<long long>(t.shape[i]));
    }
    snprintf(text + at, sizeof text - at, "] %s", dtype_name(t.dtype));
  }
};
}  // namespace

void check_same_shape(const char* op, const Tensor& a, const Tensor& b) {
  bool same = a.rank == b.rank;
  for (int i = 0; same && i < a.rank; i++) same = a.shape[i] == b.shape[i];
  if (!same)
    fail(ErrorCode::shape, "%s: shapes differ (%s and %s)", op, ShapeText(a).text, ShapeText(b).text);
}

void check_shape(const char* op, const char* arg, const Tensor& t, int rank, const int64_t* shape) {
  Tensor expected = t;
  expected.rank = rank;
  for (int i = 0; i < rank && i < kMaxRank; i++) expected.shape[i] = shape[i];
  bool same = t.rank == rank;
  for (int i = 0; same && i < rank; i++) same = t.shape[i] == shape[i];
  if (!same) {
    fail(ErrorCode::shape, "%s: %s has the wrong shape (%s, expected %s)", op, arg, ShapeText(t).text,
         ShapeText(expected).text);
  }
}

void check_rank(const char* op, const char* arg, const Tensor& t, int min, int max) {
  if (t.rank < min || t.rank > max) {
    fail(ErrorCode::shape, "%s: %s must have %d to %d dimensions (%s)", op, arg, min, max, ShapeText(t).text);
  }
}

void check_dtype(const char* op, const char* arg, const Tensor& t, Dtype dtype) {
  if (t.dtype != dtype) {
    fail(ErrorCode::dtype, "%s: %s must be %s (%s)", op, arg, dtype_name(dtype), ShapeText(t).text);
  }
}

void check_computed_dtype(const char* op, const char* arg, const Tensor& t, Dtype dtype) {
  if (computed_type(t.dtype) != computed_type(dtype)) check_dtype(op, arg, t, dtype);
}

void check_float(const char* op, const char* arg, const Tensor& t) {
  const Dtype computed = computed_type(t.dtype);
  if (computed != Dtype::f32 && computed != Dtype::f64) {
    fail(ErrorCode::dtype, "%s: %s must be float32 or float64 (%s)", op, arg, ShapeText(t).text);
  }
}

void check_contiguous(const char* op, const char* arg, const Tensor& t) {
  if (!t.is_contiguous()) {
    fail(ErrorCode::invalid_argument, "%s: %s must be contiguous (%s)", op, arg, ShapeText(t).text);
  }
}

void check_channels_last(const char* op, const char* arg, const Tensor& t) {
  if (!t.is_channels_last()) {
    fail(ErrorCode::invalid_argument, "%s: %s must be channels-last in memory (%s)", op, arg,
         ShapeText(t).text);
  }
}

void check_numel(const char* op, const char* arg, const Tensor& t, int64_t numel) {
  if (t.numel != numel) {
    fail(ErrorCode::shape, "%s: %s must have %lld elements (%s)", op, arg, static_cast<long long>(numel),
         ShapeText(t).text);
  }
}

void check_dim(const char* op, const Tensor& t, int64_t dim) {
  if (dim < 0 || dim >= t.rank) {
    fail(ErrorCode::invalid_argument, "%s: dim %lld is out of range (%s)", op, static_cast<long long>(dim),
         ShapeText(t).text);
  }
}

void unsupported_dtype(const char* op, const Tensor& t) {
  fail(ErrorCode::dtype, "%s: dtype is not supported (%s)", op, ShapeText(t).text);
}

void require(const char* op, bool condition, const char* what) {
  if (!condition) fail(ErrorCode::invalid_argument, "%s: %s", op, what);
}

}  // namespace gt
