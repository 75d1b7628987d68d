// How a kernel is written and found.
//
//   KERNEL(softmax_forward, (In x, Out y, int64_t dim)) { … }
//
// defines a C++ function and a constant record of its name, parameters and argument kinds. The N-API function
// and the TypeScript declaration are both made from that record. Records are placed in a linker section as
// constants, so that finding them runs no code of a file that was compiled for an instruction set this
// processor may not have.
//
// A kernel that reads and writes 16-bit floats itself is KERNEL(gather, (…), kTakesHalf); see
// Note [16-bit floats] in widen.h for the others. One that also makes each element of its result from the
// elements at the same place of its operands alone is kPointwise; see Note [Chains] in chain.h.
#pragma once
#include <cstdint>
#include <type_traits>
#include <utility>

#include "core/check.h"
#include "core/command.h"
#include "core/tensor.h"

namespace gt {

// Parameter types of kernels. An Out is written whole; an InOut is read and updated in place. Opt… may be
// absent.
struct In {
  const Tensor* tensor;
  [[gnu::always_inline]] const Tensor& operator*() const { return *tensor; }
  [[gnu::always_inline]] const Tensor* operator->() const { return tensor; }
};
struct Out : In {};
struct InOut : In {};
struct OptIn : In {
  [[gnu::always_inline]] explicit operator bool() const { return tensor != nullptr; }
};
struct OptOut : Out {
  [[gnu::always_inline]] explicit operator bool() const { return tensor != nullptr; }
};

enum class ArgKind : uint8_t { in, out, inout, opt_in, opt_out, integer, number, boolean };

// What a kernel says of itself.
constexpr int kTakesHalf = 1, kPointwise = 2 | kTakesHalf;
// The number of the parameter of which a kernel may keep a copy; see Note [Kept weights].
constexpr int kKeepsNothing = -1, kKeepsSecond = 1;

enum class DeviceType : uint8_t { cpu = 0, cuda = 1 };
constexpr int kDeviceTypes = 2;

struct KernelDef {
  const char* name;
  const char* params;  // the parameter list as written
  DeviceType device;
  uint8_t isa;  // 0 runs anywhere; a higher one needs what cpu/isa.h says
  uint8_t argc;
  ArgKind kinds[kMaxArgs];
  void (*run)(const Command&);
  bool takes_half, pointwise;
  int8_t keeps;
};

template <class T>
consteval ArgKind arg_kind() {
  if constexpr (std::is_same_v<T, In>)
    return ArgKind::in;
  else if constexpr (std::is_same_v<T, Out>)
    return ArgKind::out;
  else if constexpr (std::is_same_v<T, InOut>)
    return ArgKind::inout;
  else if constexpr (std::is_same_v<T, OptIn>)
    return ArgKind::opt_in;
  else if constexpr (std::is_same_v<T, OptOut>)
    return ArgKind::opt_out;
  else if constexpr (std::is_same_v<T, int64_t>)
    return ArgKind::integer;
  else if constexpr (std::is_same_v<T, double>)
    return ArgKind::number;
  else {
    static_assert(std::is_same_v<T, bool>,
                  "a kernel parameter is In, Out, InOut, OptIn, OptOut, int64_t, double or bool");
    return ArgKind::boolean;
  }
}

template <class T>
[[gnu::always_inline]] inline T unpack(const Arg& arg) {
  if constexpr (std::is_same_v<T, int64_t>)
    return arg.integer;
  else if constexpr (std::is_same_v<T, double>)
    return arg.number;
  else if constexpr (std::is_same_v<T, bool>)
    return arg.integer != 0;
  else {
    T value;
    value.tensor = arg.tensor;
    return value;
  }
}

template <auto Function>
struct KernelTraits;
template <class... Args, void (*Function)(Args...)>
struct KernelTraits<Function> {
  static_assert(sizeof...(Args) <= kMaxArgs);
  template <size_t... I>
  [[gnu::always_inline]] static inline void call(const Command& command, std::index_sequence<I...>) {
    Function(unpack<Args>(command.args[I])...);
  }
  [[gnu::always_inline]] static inline void call(const Command& command) {
    call(command, std::index_sequence_for<Args...>{});
  }

  static consteval KernelDef define(const char* name, const char* params, DeviceType device, uint8_t isa,
                                    void (*run)(const Command&), int says = 0, int keeps = kKeepsNothing) {
    KernelDef def{name,
                  params,
                  device,
                  isa,
                  sizeof...(Args),
                  {},
                  run,
                  (says & kTakesHalf) != 0,
                  says == kPointwise,
                  static_cast<int8_t>(keeps)};
    int i = 0;
    ((def.kinds[i++] = arg_kind<Args>()), ...);
    return def;
  }
};

// The device that kernels are compiled for, and the namespace of its engine.
#ifndef GT_DEVICE
#define GT_DEVICE ::gt::DeviceType::cpu
#endif
#ifndef GT_ENGINE
#define GT_ENGINE cpu
#endif
#ifndef GT_ISA
#define GT_ISA 0
#endif

#define KERNEL(name, params, ...)                                                                     \
  static void name params;                                                                            \
  static void gt_run_##name(const ::gt::Command& c) { ::gt::KernelTraits<&name>::call(c); }           \
  static constinit const ::gt::KernelDef gt_def_##name = ::gt::KernelTraits<&name>::define(           \
      #name, #params, GT_DEVICE, GT_ISA, &gt_run_##name __VA_OPT__(, ) __VA_ARGS__);                  \
  [[gnu::used, gnu::section("gt_kernels")]] static constinit const ::gt::KernelDef* gt_entry_##name = \
      &gt_def_##name;                                                                                 \
  static void name params

// Every kernel name with the best definition for this machine, in alphabetical order. Built once per process;
// the definitions of a GPU are added when its library is loaded.
struct KernelEntry {
  const char* name;
  const KernelDef* defs[kDeviceTypes];
};
struct KernelList {
  const KernelEntry* begin;
  int count;
};
KernelList kernels();
// One that exists.
const KernelDef& kernel(const char* name, DeviceType device);

}  // namespace gt
