// Group normalization; see cpu/group_norm.cpp.
#include "core/dispatch.h"
#include "core/kernel.h"
#include "cuda/channels.h"

namespace gt::cuda {
namespace {

template <class T>
struct StoreGroup {
  T *mean, *variance;
  GT_DEV void operator()(int64_t g, const Moments& m) const {
    mean[g] = static_cast<T>(m.mean);
    variance[g] = static_cast<T>(m.variance());
  }
};

// A vector without gaps.
template <class T>
Vector<T> row_of(const Tensor& t) {
  Vector<T> v{In{nullptr}};
  v.data = t.data<T>();
  v.stride = 1;
  return v;
}

// The products of a group, times the weights of its channels.
template <class T>
struct WeightedProducts {
  GroupParts<Products> parts;
  Vector<T> weight;
  GT_DEV Products operator()(int64_t output, int64_t i) const {
    const Products& p = parts(output, i);
    if (!weight) return p;
    const int64_t groups = parts.channels / parts.size;
    const double w = static_cast<double>(weight[output % groups * parts.size + i % parts.size]);
    return {w * p.sum, w * p.product};
  }
};

// What dx needs of the sums over a group.
template <class T>
struct StoreGroupProducts {
  const T* variance;
  double eps, elements;
  T *b, *d;
  GT_DEV void operator()(int64_t g, const Products& p) const {
    const double var = static_cast<double>(variance[g]) + eps, inverse = 1 / std::sqrt(var);
    b[g] = static_cast<T>(-inverse * p.product / var / elements);
    d[g] = static_cast<T>(-inverse * p.sum / elements);
  }
};

// The gradients of bias and weight: entry i of a channel is chunk i of all chunks of all samples.
template <class T>
struct ParameterTerm {
  const Products* parts;
  int64_t chunks, channels, size;
  const T* variance;
  double eps;
  GT_DEV Products operator()(int64_t channel, int64_t i) const {
    const Products& p = parts[i * channels + channel];
    const double var = static_cast<double>(variance[i / chunks * (channels / size) + channel / size]) + eps;
    return {p.sum, p.product / std::sqrt(var)};
  }
};

template <class T>
struct StoreParameters {
  Vector<T> dweight, dbias;
  GT_DEV void operator()(int64_t c, const Products& p) const {
    if (dweight) dweight[c] = static_cast<T>(p.product);
    if (dbias) dbias[c] = static_cast<T>(p.sum);
  }
};

template <class T>
struct UpdateInstanceRunning {
  const T *mean, *variance;
  Vector<T> running_mean, running_var;
  int64_t samples, channels;
  double momentum, unbiased;
  const Fault* fault;
  GT_DEV void operator()(int64_t c) const {
    if (failed(fault)) return;
    double mu = 0, var = 0;
    for (int64_t n = 0; n < samples; n++) {
      mu += static_cast<double>(mean[n * channels + c]);
      var += static_cast<double>(variance[n * channels + c]);
    }
    const double share = momentum / static_cast<double>(samples);
    running_mean[c] = static_cast<T>((1 - momentum) * static_cast<double>(running_mean[c]) + share * mu);
    running_var[c] =
        static_cast<T>((1 - momentum) * static_cast<double>(running_var[c]) + share * unbiased * var);
  }
};

}  // namespace

KERNEL(group_norm_forward,
       (In x, OptIn weight, OptIn bias, Out y, Out mean, Out variance, int64_t num_groups, double eps)) {
  const char* op = "groupNorm";
  const Groups groups = check_group_norm_forward(op, x, weight, bias, y, mean, variance, num_groups);
  if (x->numel == 0) return;
  const int64_t C = groups.channels, N = groups.samples, size = groups.size();
  const ColumnPlan plan(N, groups.rows, C);
  dispatch_float(op, *x, [&]<class T>(T*) {
    const Moments* const parts =
        gather_columns<Moments>(plan, GatherMoments<T>{x->data<T>(), C}, JoinMoments());
    join_parts<Moments>(N * groups.count, plan.chunks * size,
                        GroupParts<Moments>{parts, plan.chunks, C, size}, JoinMoments(),
                        StoreGroup<T>{mean->data<T>(), variance->data<T>()});
    T* const scale = static_cast<T*>(scratch(2 * N * C * static_cast<int64_t>(sizeof(T)), 1));
    T* const shift = scale + N * C;
    each(N * C, Affine<T>{C, size, row_of<T>(*mean), row_of<T>(*variance), Vector<T>(weight), Vector<T>(bias),
                          eps, scale, shift, nullptr});
    each_column(plan, Apply<false, false, T>{C, x->data<T>(), nullptr, scale, shift, y->data<T>()});
  });
}

KERNEL(group_norm_backward, (In dy, In x, OptIn weight, In mean, In variance, OptOut dx, OptOut dweight,
                             OptOut dbias, int64_t num_groups, double eps)) {
  const char* op = "groupNorm";
  const Groups groups =
      check_group_norm_backward(op, dy, x, weight, mean, variance, dx, dweight, dbias, num_groups);
  const int64_t C = groups.channels, N = groups.samples, size = groups.size(), G = N * groups.count;
  const ColumnPlan plan(N, groups.rows, C);
  dispatch_float(op, *x, [&]<class T>(T*) {
    const T *const gp = dy->data<T>(), *const xp = x->data<T>(), *const var = variance->data<T>();
    T* const values = static_cast<T*>(scratch((2 * N * C + 2 * G) * static_cast<int64_t>(sizeof(T)), 1));
    T *const scale = values, *const shift = values + N * C, *const b = shift + N * C, *const d = b + G;
    each(N * C, Affine<T>{C, size, row_of<T>(*mean), row_of<T>(*variance), Vector<T>(weight),
                          Vector<T>(In{nullptr}), eps, scale, shift, nullptr});
    const Coefficients<T> k{C, size, scale, shift, mean->data<T>(), b, d};
    const Products* const parts =
        gather_columns<Products>(plan, GatherProducts<Mask::none, T>{gp, xp, nullptr, k}, AddUp());
    if (dweight || dbias) {
      join_parts<Products>(C, plan.parts(), ParameterTerm<T>{parts, plan.chunks, C, size, var, eps}, AddUp(),
                           StoreParameters<T>{Vector<T>(dweight), Vector<T>(dbias)});
    }
    if (!dx) return;
    const double elements = static_cast<double>(groups.rows * size);
    join_parts<Products>(
        G, plan.chunks * size,
        WeightedProducts<T>{GroupParts<Products>{parts, plan.chunks, C, size}, Vector<T>(weight)}, AddUp(),
        StoreGroupProducts<T>{var, eps, elements, b, d});
    each_column(plan, WriteDx<Mask::none, true, T>{gp, xp, nullptr, dx->data<T>(), nullptr, k});
  });
}

// The running statistics of instance normalization: mean and variance are [N, C], of instances of `count`
// values, and count with their mean over N.
KERNEL(instance_norm_running,
       (In mean, In variance, InOut running_mean, InOut running_var, double momentum, int64_t count)) {
  const char* op = "instanceNorm";
  check_instance_norm_running(op, mean, variance, running_mean, running_var);
  const int64_t samples = mean->shape[0], channels = mean->shape[1];
  if (count <= 0 || samples == 0) return;
  const double unbiased = count > 1 ? static_cast<double>(count) / static_cast<double>(count - 1) : 1.0;
  dispatch_float(op, *mean, [&]<class T>(T*) {
    each(channels, UpdateInstanceRunning<T>{mean->data<T>(), variance->data<T>(), Vector<T>(running_mean),
                                            Vector<T>(running_var), samples, channels, momentum, unbiased,
                                            context().fault});
  });
}

}  // namespace gt::cuda
