// Comparisons and logic.
#include "cpu/elementwise.h"
#include "shared/compare_kernels.h"
