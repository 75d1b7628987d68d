// Group normalization; see cpu/group_norm.cpp.
#include "core/dispatch.h"
#include "core/kernel.h"
#include "cuda/channels.h"

namespace gt::cuda {
namespace {

template <class T, class P>
struct StoreGroup {
  P mean, variance;
  GT_DEV void operator()(int64_t g, const Moments& m) const {
    mean[g] = static_cast<T>(m.mean);
    variance[g] = static_cast<T>(m.variance());
  }
};

// A vector without gaps.
template <class P>
Vector<P> row_of(const Tensor& t) {
  Vector<P> v{In{nullptr}};
  v.data = pointer_to<P>(t);
  v.stride = 1;
  return v;
}

// The products of a group, times the weights of its channels.
template <class P>
struct WeightedProducts {
  GroupParts<Products> parts;
  Vector<P> weight;
  GT_DEV Products operator()(int64_t output, int64_t i) const {
    const Products& p = parts(output, i);
    if (!weight) return p;
    const int64_t groups = parts.channels / parts.size;
    const double w = static_cast<double>(weight[output % groups * parts.size + i % parts.size]);
    return {w * p.sum, w * p.product};
  }
};

// What dx needs of the sums over a group.
template <class T, class P>
struct StoreGroupProducts {
  P variance;
  double eps, elements;
  T *b, *d;
  GT_DEV void operator()(int64_t g, const Products& p) const {
    const double var = static_cast<double>(variance[g]) + eps, inverse = 1 / std::sqrt(var);
    b[g] = static_cast<T>(-inverse * p.product / var / elements);
    d[g] = static_cast<T>(-inverse * p.sum / elements);
  }
};

// The gradients of bias and weight: entry i of a channel is chunk i of all chunks of all samples.
template <class P>
struct ParameterTerm {
  const Products* parts;
  int64_t chunks, channels, size;
  P variance;
  double eps;
  GT_DEV Products operator()(int64_t channel, int64_t i) const {
    const Products& p = parts[i * channels + channel];
    const double var = static_cast<double>(variance[i / chunks * (channels / size) + channel / size]) + eps;
    return {p.sum, p.product / std::sqrt(var)};
  }
};

template <class T, class P>
struct StoreParameters {
  Vector<P> dweight, dbias;
  GT_DEV void operator()(int64_t c, const Products& p) const {
    if (dweight) dweight[c] = static_cast<T>(p.product);
    if (dbias) dbias[c] = static_cast<T>(p.sum);
  }
};

template <class T, class P>
struct UpdateInstanceRunning {
  P mean, variance;
  Vector<P> running_mean, running_var;
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
       (In x, OptIn weight, OptIn bias, Out y, Out mean, Out variance, int64_t num_groups, double eps),
       kTakesHalf) {
  const char* op = "groupNorm";
  const Groups groups = check_group_norm_forward(op, x, weight, bias, y, mean, variance, num_groups);
  if (x->numel == 0) return;
  const int64_t C = groups.channels, N = groups.samples, size = groups.size();
  const ColumnPlan plan(N, groups.rows, C);
  dispatch_pointers(op, {x, weight, bias, y, mean, variance}, [&]<class T, class P>(T*, P*) {
    const Moments* const parts =
        gather_columns<Moments>(plan, GatherMoments<T, P>{pointer_to<P>(x), C}, JoinMoments());
    join_parts<Moments>(N * groups.count, plan.chunks * size,
                        GroupParts<Moments>{parts, plan.chunks, C, size}, JoinMoments(),
                        StoreGroup<T, P>{pointer_to<P>(mean), pointer_to<P>(variance)});
    T* const scale = static_cast<T*>(scratch(2 * N * C * static_cast<int64_t>(sizeof(T)), 1));
    T* const shift = scale + N * C;
    each(N * C, Affine<T, P>{C, size, row_of<P>(*mean), row_of<P>(*variance), Vector<P>(weight),
                             Vector<P>(bias), eps, scale, shift, nullptr});
    each_column(plan,
                Apply<false, false, T, P>{C, pointer_to<P>(x), nullptr, pointer_to<P>(y), scale, shift});
  });
}

KERNEL(group_norm_backward,
       (In dy, In x, OptIn weight, In mean, In variance, OptOut dx, OptOut dweight, OptOut dbias,
        int64_t num_groups, double eps),
       kTakesHalf) {
  const char* op = "groupNorm";
  const Groups groups =
      check_group_norm_backward(op, dy, x, weight, mean, variance, dx, dweight, dbias, num_groups);
  const int64_t C = groups.channels, N = groups.samples, size = groups.size(), G = N * groups.count;
  const ColumnPlan plan(N, groups.rows, C);
  dispatch_pointers(op, {x, dy, weight, mean, variance, dx, dweight, dbias}, [&]<class T, class P>(T*, P*) {
    const P gp = pointer_to<P>(dy), xp = pointer_to<P>(x), var = pointer_to<P>(variance);
    T* const values = static_cast<T*>(scratch((2 * N * C + 2 * G) * static_cast<int64_t>(sizeof(T)), 1));
    T *const scale = values, *const shift = values + N * C, *const b = shift + N * C, *const d = b + G;
    each(N * C, Affine<T, P>{C, size, row_of<P>(*mean), row_of<P>(*variance), Vector<P>(weight),
                             Vector<P>(In{nullptr}), eps, scale, shift, nullptr});
    const Coefficients<T, P> k{C, size, scale, shift, pointer_to<P>(mean), b, d};
    const Products* const parts =
        gather_columns<Products>(plan, GatherProducts<Mask::none, T, P>{gp, xp, nullptr, k}, AddUp());
    if (dweight || dbias) {
      join_parts<Products>(C, plan.parts(), ParameterTerm<P>{parts, plan.chunks, C, size, var, eps}, AddUp(),
                           StoreParameters<T, P>{Vector<P>(dweight), Vector<P>(dbias)});
    }
    if (!dx) return;
    const double elements = static_cast<double>(groups.rows * size);
    join_parts<Products>(
        G, plan.chunks * size,
        WeightedProducts<P>{GroupParts<Products>{parts, plan.chunks, C, size}, Vector<P>(weight)}, AddUp(),
        StoreGroupProducts<T, P>{var, eps, elements, b, d});
    each_column(plan, WriteDx<Mask::none, true, T, P>{gp, xp, nullptr, pointer_to<P>(dx), nullptr, k});
  });
}

// The running statistics of instance normalization: mean and variance are [N, C], of instances of `count`
// values, and count with their mean over N.
KERNEL(instance_norm_running,
       (In mean, In variance, InOut running_mean, InOut running_var, double momentum, int64_t count),
       kTakesHalf) {
  const char* op = "instanceNorm";
  check_instance_norm_running(op, mean, variance, running_mean, running_var);
  const int64_t samples = mean->shape[0], channels = mean->shape[1];
  if (count <= 0 || samples == 0) return;
  const double unbiased = count > 1 ? static_cast<double>(count) / static_cast<double>(count - 1) : 1.0;
  dispatch_pointers(op, {mean, variance, running_mean, running_var}, [&]<class T, class P>(T*, P*) {
    each(channels, UpdateInstanceRunning<T, P>{pointer_to<P>(mean), pointer_to<P>(variance),
                                               Vector<P>(running_mean), Vector<P>(running_var), samples,
                                               channels, momentum, unbiased, context().fault});
  });
}

}  // namespace gt::cuda
