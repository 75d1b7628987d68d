// A stream on the host: work runs when it is given, or is kept for a graph while the stream is captured. In a
// header, so that the stand-ins of NVIDIA's libraries, which cannot see the runtime, give their work to it
// too.
#pragma once
#include <cuda_runtime.h>

#include <atomic>
#include <functional>
#include <vector>

struct EmulatedStream {
  std::atomic<bool> captured{false};
  std::atomic<bool> broken{false};  // something was called that a capture does not survive
  std::vector<std::function<void()>> nodes;
};

namespace {

// What `work` uses is copied into it: it may run when its caller's variables are gone, and more than once.
template <class Work>
inline void enqueue(cudaStream_t stream, Work work) {
  auto* const s = reinterpret_cast<EmulatedStream*>(stream);
  if (s && s->captured.load())
    s->nodes.emplace_back(std::move(work));
  else
    work();
}

}  // namespace
