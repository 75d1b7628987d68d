// NVIDIA's libraries, found and loaded at run time: this engine names none of them when it is loaded itself,
// so it loads everywhere and can say what is missing.
//
// The search goes, in this order, through GRADTAPE_CUDA_LIBRARY_PATH; what the process has loaded already;
// the wheels of an active Python environment and of the user; the loader's own search (LD_LIBRARY_PATH,
// ld.so.conf); CUDA_PATH, CUDA_HOME and /usr/local/cuda.
#pragma once
#include <mutex>
#include <string>
#include <vector>

namespace gt::cuda {

struct Found {
  void* handle = nullptr;
  std::string path;    // of the file
  std::string reason;  // one sentence, where there is no handle
};

// One library, such as {"cuDNN", "libcudnn.so.9", {"cudnn"}, "nvidia-cudnn-cu13"}.
struct LibraryName {
  const char* title;
  const char* file;
  const char* wheel_folder;  // under site-packages/nvidia/
  const char* wheel;         // the pip package
};

Found find_library(const LibraryName& name);

// A symbol, or null.
void* symbol_of(const Found& library, const char* name);

// Fills a table of pointers to functions, and remembers the first that the library does not have.
struct Loader {
  const Found& library;
  const char* missing = nullptr;
  template <class Function>
  void operator()(Function*& function, const char* name) {
    function = reinterpret_cast<Function*>(symbol_of(library, name));
    if (!function && !missing) missing = name;
  }
};

// "9.10.1" of 91001, as cuDNN and cuBLAS count.
std::string version_text(size_t version);

// What the description of this machine says of a library.
struct LibraryReport {
  std::string title, path, version, reason;
};
// Each wrapper of a library (cudnn.cpp, cublaslt.cpp) reports itself.
LibraryReport report_cudnn();
LibraryReport report_cublaslt();

}  // namespace gt::cuda
