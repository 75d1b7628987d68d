// Comparisons and logic.
#include "cuda/elementwise.h"
#include "shared/compare_kernels.h"
