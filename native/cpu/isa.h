// Which instruction sets the memory-bound kernels are compiled for, and which one this machine gets.
#pragma once

namespace gt::cpu {

// 0: any processor of the platform; 1: x86-64-v3 (AVX2, FMA); 2: x86-64-v4 (AVX-512 F, BW, DQ, VL).
// GRADTAPE_ISA=plain|avx2|avx512 lowers it, for tests and for hunting a miscompiled kernel.
int isa_level();
const char* isa_name();

// Whether products of bfloat16 are faster than those of float32: with AVX512_BF16, or AMX, whose machines
// have that too. Elsewhere oneDNN would emulate them, and kernels compute on float32 copies. Not with a
// lowered GRADTAPE_ISA.
bool multiplies_bfloat16();

}  // namespace gt::cpu
