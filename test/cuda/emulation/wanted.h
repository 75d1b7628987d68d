// What a stand-in is told to be: an environment variable such as "gpus=2,fail=cudaMalloc:3,trace".
#pragma once
#include <cstdlib>
#include <string>

namespace {

// The value of a key, "yes" for a key without one, or nothing.
inline std::string wanted_of(const char* variable, const char* key) {
  const char* text = std::getenv(variable);
  if (!text) return "";
  const std::string all = std::string(",") + text + ",";
  const std::string head = std::string(",") + key;
  const size_t at = all.find(head + "=");
  if (at == std::string::npos) return all.find(head + ",") == std::string::npos ? "" : "yes";
  const size_t begin = at + head.size() + 1;
  return all.substr(begin, all.find(',', begin) - begin);
}

}  // namespace
