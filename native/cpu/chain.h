// Chains on the CPU; see Note [Chains] in core/chain.h.
#pragma once
#include "core/chain.h"

namespace gt::cpu {

void run_chain(const Chain& chain);

}  // namespace gt::cpu
