#pragma once
#include <string>

namespace gt::cpu {
std::string onednn_version();  // of the library that is loaded, such as "2.6.3"
}
