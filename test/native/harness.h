// A minimal test runner: TEST registers, CHECK counts, main prints one line per test. No dependency, so that
// it builds under every sanitizer.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <vector>

struct NativeTest {
  const char* name;
  void (*run)();
};

inline std::vector<NativeTest>& native_tests() {
  static std::vector<NativeTest> tests;
  return tests;
}

inline int& native_failures() {
  static int failures = 0;
  return failures;
}

struct RegisterNativeTest {
  RegisterNativeTest(const char* name, void (*run)()) { native_tests().push_back({name, run}); }
};

#define TEST(name)                                               \
  static void test_##name();                                     \
  static RegisterNativeTest register_##name(#name, test_##name); \
  static void test_##name()

#define CHECK(condition)                                                                 \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      std::printf("  %s:%d: CHECK(%s) does not hold\n", __FILE__, __LINE__, #condition); \
      native_failures()++;                                                               \
    }                                                                                    \
  } while (false)

#define CHECK_THROWS(statement, expected)                                                       \
  do {                                                                                          \
    bool threw = false;                                                                         \
    try {                                                                                       \
      statement;                                                                                \
    } catch (const gt::Error& error) {                                                          \
      threw = error.code == (expected);                                                         \
    }                                                                                           \
    if (!threw) {                                                                               \
      std::printf("  %s:%d: %s did not throw %s\n", __FILE__, __LINE__, #statement, #expected); \
      native_failures()++;                                                                      \
    }                                                                                           \
  } while (false)
