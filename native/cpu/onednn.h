// The one place that knows which oneDNN this is: 2.6 and 3.x differ in how primitives are described.
#pragma once
#include <oneapi/dnnl/dnnl.hpp>

#define GT_ONEDNN_3 (DNNL_VERSION_MAJOR >= 3)
