#include <cstring>

#include "core/error.h"
#include "harness.h"

// Runs all tests, or those whose name contains the first argument.
int main(int argc, char** argv) {
  int failed = 0;
  for (const NativeTest& test : native_tests()) {
    if (argc > 1 && !std::strstr(test.name, argv[1])) continue;
    const int before = native_failures();
    try {
      test.run();
    } catch (const std::exception& error) {
      std::printf("  threw %s\n", error.what());
      native_failures()++;
    }
    const bool ok = native_failures() == before;
    failed += !ok;
    std::printf("%s %s\n", ok ? "ok" : "FAILED", test.name);
    std::fflush(stdout);
  }
  return failed ? 1 : 0;
}
