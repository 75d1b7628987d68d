// Compares native/cuda/cudnn_rnn_api.h with NVIDIA's own headers, at compile time:
//
//   g++ -std=c++20 -fsyntax-only -Inative -I/usr/local/cuda/include -I<folder of cudnn.h>
//   test/cuda/headers/cudnn_rnn.cpp
#include <cudnn.h>

#include "cuda/cudnn_rnn_api.h"

namespace cudnn = gt::cuda::cudnn;

#define SAME(ours, theirs) static_assert(static_cast<int>(ours) == static_cast<int>(theirs))
SAME(cudnn::RnnAlgorithm::standard, CUDNN_RNN_ALGO_STANDARD);
SAME(cudnn::ForwardMode::inference, CUDNN_FWD_MODE_INFERENCE);
SAME(cudnn::ForwardMode::training, CUDNN_FWD_MODE_TRAINING);
SAME(cudnn::CellMode::relu, CUDNN_RNN_RELU);
SAME(cudnn::CellMode::tanh, CUDNN_RNN_TANH);
SAME(cudnn::CellMode::lstm, CUDNN_LSTM);
SAME(cudnn::CellMode::gru, CUDNN_GRU);
SAME(cudnn::BiasMode::none, CUDNN_RNN_NO_BIAS);
SAME(cudnn::BiasMode::both, CUDNN_RNN_DOUBLE_BIAS);
SAME(cudnn::Direction::one, CUDNN_UNIDIRECTIONAL);
SAME(cudnn::InputMode::linear, CUDNN_LINEAR_INPUT);
SAME(cudnn::MathType::standard, CUDNN_DEFAULT_MATH);
SAME(cudnn::MathType::fma, CUDNN_FMA_MATH);
SAME(cudnn::SequenceLayout::steps_unpacked, CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED);
SAME(cudnn::WeightGradientMode::add, CUDNN_WGRAD_MODE_ADD);
SAME(cudnn::kPaddedInputOutput, CUDNN_RNN_PADDED_IO_ENABLED);

// The signatures, as far as types of our own allow: the number of arguments and the size of each.
template <class F>
struct Sizes;
template <class R, class... A>
struct Sizes<R (*)(A...)> {
  template <class S, class... B>
  static constexpr bool match(S (*)(B...)) {
    return sizeof...(A) == sizeof...(B) && sizeof(R) == sizeof(S) && ((sizeof(A) == sizeof(B)) && ...);
  }
};
#define FUNCTION(result, name, parameters) \
  static_assert(                           \
      Sizes<decltype(cudnn::RnnFunctions::name)>::match(static_cast<decltype(&cudnn##name)>(nullptr)));
GT_CUDNN_RNN_FUNCTIONS(FUNCTION)
