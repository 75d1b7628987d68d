// Batch normalization, with ReLU and an added tensor fused in; see cpu/batch_norm.cpp.
#include "core/dispatch.h"
#include "core/kernel.h"
#include "cuda/channels.h"

namespace gt::cuda {
namespace {

template <class T, class P>
struct StoreMoments {
  Vector<P> mean, variance;
  GT_DEV void operator()(int64_t c, const Moments& m) const {
    mean[c] = static_cast<T>(m.mean);
    variance[c] = static_cast<T>(m.variance());
  }
};

template <class T, class P>
struct UpdateRunning {
  Vector<P> mean, variance, running_mean, running_var;
  T keep, take, take_var;
  const Fault* fault;
  GT_DEV void operator()(int64_t c) const {
    if (failed(fault)) return;
    running_mean[c] = keep * running_mean[c] + take * mean[c];
    running_var[c] = keep * running_var[c] + take_var * variance[c];
  }
};

// The gradients of weight and bias, and from them what dx needs.
template <class T, class P>
struct StoreProducts {
  Vector<P> variance, weight, dweight, dbias;
  double eps, rows;
  T *b, *d;
  GT_DEV void operator()(int64_t c, const Products& p) const {
    const double var = static_cast<double>(variance[c]) + eps, root = std::sqrt(var);
    const double scale = (weight ? static_cast<double>(weight[c]) : 1.0) / root;
    if (dweight) dweight[c] = static_cast<T>(p.product / root);
    if (dbias) dbias[c] = static_cast<T>(p.sum);
    b[c] = static_cast<T>(-scale * p.product / var / rows);
    d[c] = static_cast<T>(-scale * p.sum / rows);
  }
};

}  // namespace

// The mean and the biased variance of each channel.
KERNEL(batch_norm_moments, (In x, Out mean, Out variance), kTakesHalf) {
  const char* op = "batchNorm";
  const Matrix m = check_batch_norm_moments(op, x, mean, variance);
  const ColumnPlan plan(1, m.rows, m.channels);
  dispatch_pointers(op, {x, mean, variance}, [&]<class T, class P>(T*, P*) {
    const Moments* const parts =
        gather_columns<Moments>(plan, GatherMoments<T, P>{pointer_to<P>(x), m.channels}, JoinMoments());
    join_parts<Moments>(m.channels, plan.chunks, GroupParts<Moments>{parts, plan.chunks, m.channels, 1},
                        JoinMoments(), StoreMoments<T, P>{Vector<P>(mean), Vector<P>(variance)});
  });
}

// running += momentum · (batch - running), with the unbiased variance of `count` values.
KERNEL(batch_norm_running,
       (In mean, In variance, InOut running_mean, InOut running_var, double momentum, int64_t count),
       kTakesHalf) {
  const char* op = "batchNorm";
  check_batch_norm_running(op, mean, variance, running_mean, running_var);
  if (count <= 0) return;
  const double unbiased = count > 1 ? static_cast<double>(count) / static_cast<double>(count - 1) : 1.0;
  dispatch_pointers(op, {mean, variance, running_mean, running_var}, [&]<class T, class P>(T*, P*) {
    each(mean->numel,
         UpdateRunning<T, P>{Vector<P>(mean), Vector<P>(variance), Vector<P>(running_mean),
                             Vector<P>(running_var), static_cast<T>(1.0 - momentum), static_cast<T>(momentum),
                             static_cast<T>(momentum * unbiased), context().fault});
  });
}

KERNEL(batch_norm_apply,
       (In x, In mean, In variance, OptIn weight, OptIn bias, OptIn addend, Out y, double eps, bool relu),
       kTakesHalf) {
  const char* op = "batchNorm";
  const Matrix m = check_batch_norm_apply(op, x, mean, variance, weight, bias, addend, y);
  const ColumnPlan plan(1, m.rows, m.channels);
  dispatch_pointers(op, {x, mean, variance, weight, bias, addend, y}, [&]<class T, class P>(T*, P*) {
    T* const scale = static_cast<T*>(scratch(2 * m.channels * static_cast<int64_t>(sizeof(T))));
    T* const shift = scale + m.channels;
    each(m.channels, Affine<T, P>{m.channels, 1, Vector<P>(mean), Vector<P>(variance), Vector<P>(weight),
                                  Vector<P>(bias), eps, scale, shift, nullptr});
    const auto run = [&]<bool Relu, bool Add>(std::bool_constant<Relu>, std::bool_constant<Add>) {
      each_column(plan, Apply<Relu, Add, T, P>{m.channels, pointer_to<P>(x), pointer_to<P>(addend),
                                               pointer_to<P>(y), scale, shift});
    };
    if (relu && addend)
      run(std::true_type{}, std::true_type{});
    else if (relu)
      run(std::true_type{}, std::false_type{});
    else if (addend)
      run(std::false_type{}, std::true_type{});
    else
      run(std::false_type{}, std::false_type{});
  });
}

// mean and variance are the batch's in training, else the running ones, through which no gradient flows. y is
// needed where relu followed an addend; without an addend the ReLU's mask is computed from x.
KERNEL(batch_norm_backward,
       (In dy, In x, OptIn y, In mean, In variance, OptIn weight, OptIn bias, OptOut dx, OptOut dweight,
        OptOut dbias, OptOut daddend, double eps, bool training, bool relu),
       kTakesHalf) {
  const char* op = "batchNorm";
  const Matrix m =
      check_batch_norm_backward(op, dy, x, y, mean, variance, weight, bias, dx, dweight, dbias, daddend);
  const ColumnPlan plan(1, m.rows, m.channels);
  dispatch_pointers(
      op, {x, dy, y, mean, variance, weight, bias, dx, dweight, dbias, daddend},
      [&]<class T, class P>(T*, P*) {
        const int64_t C = m.channels;
        T* const values = static_cast<T*>(scratch(5 * C * static_cast<int64_t>(sizeof(T)), 1));
        T *const scale = values, *const shift = values + C, *const means = values + 2 * C;
        T *const b = values + 3 * C, *const d = values + 4 * C;
        each(C, Affine<T, P>{C, 1, Vector<P>(mean), Vector<P>(variance), Vector<P>(weight), Vector<P>(bias),
                             eps, scale, shift, means});
        const Coefficients<T, P> k{C, 1, scale, shift, pointer_to<P>(means, computed_type(x->dtype)), b, d};
        const P gp = pointer_to<P>(dy), xp = pointer_to<P>(x), yp = pointer_to<P>(y);
        dispatch_mask(relu, static_cast<bool>(y), [&]<Mask M>(std::integral_constant<Mask, M>) {
          if (dweight || dbias || (dx && training)) {
            const Products* const parts =
                gather_columns<Products>(plan, GatherProducts<M, T, P>{gp, xp, yp, k}, AddUp());
            join_parts<Products>(C, plan.chunks, GroupParts<Products>{parts, plan.chunks, C, 1}, AddUp(),
                                 StoreProducts<T, P>{Vector<P>(variance), Vector<P>(weight),
                                                     Vector<P>(dweight), Vector<P>(dbias), eps,
                                                     static_cast<double>(m.rows > 0 ? m.rows : 1), b, d});
          }
          if (!dx && !daddend) return;
          const P to = pointer_to<P>(dx), add = pointer_to<P>(daddend);
          if (training)
            each_column(plan, WriteDx<M, true, T, P>{gp, xp, yp, to, add, k});
          else
            each_column(plan, WriteDx<M, false, T, P>{gp, xp, yp, to, add, k});
        });
      });
}

}  // namespace gt::cuda
