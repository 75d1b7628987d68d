// Weights in the layout that a convolution asks for, kept from call to call.
//
// Note [Kept weights]. Bringing a weight into oneDNN's layout takes a quarter of the time of a ResNet on one
// image. A copy is kept once a weight was used twice in one layout and not written in between, as in
// inference; training changes weights in every step and never keeps any. All of this lives on the engine
// thread, which sees everything that happens to memory in the order in which it happens, in replays too:
// before a command runs, copies of what it writes are dropped (Backend::run, Backend::write), and a storage
// whose tensors were the weight of such a kernel (Storage::kept) sends a command when it is freed. So copies
// are found by the address of the weight.
#pragma once
#include <cstdint>

#include "core/command.h"
#include "core/tensor.h"
#include "cpu/onednn.h"

namespace gt::cpu {

// A copy of a weight in some layout. To be filled by who gets it first.
struct KeptWeight {
  Desc layout;
  void* data = nullptr;
  bool filled = false;
  uint32_t uses = 0;    // since the weight was written
  uint32_t wanted = 2;  // the use from which a copy is kept; grows where that did not pay
};

// Null if no copy is kept yet, or there is no memory for it. Valid until the next call of any function here.
KeptWeight* kept_weight(const Tensor& weight, const Desc& layout);

}  // namespace gt::cpu
