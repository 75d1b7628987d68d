#include "cuda/library.h"

#include <dlfcn.h>
#include <glob.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace gt::cuda {

namespace {

std::string environment(const char* name) {
  const char* text = std::getenv(name);
  return text ? text : "";
}

void split(const std::string& text, std::vector<std::string>& out) {
  size_t at = 0;
  while (at <= text.size()) {
    const size_t end = std::min(text.find(':', at), text.size());
    if (end > at) out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
}

// Folders that match a pattern, in alphabetical order.
void expand(const std::string& pattern, std::vector<std::string>& out) {
  glob_t found;
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0) {
    for (size_t i = 0; i < found.gl_pathc; i++) out.emplace_back(found.gl_pathv[i]);
  }
  globfree(&found);
}

// Where pip puts a library: in a folder of its own, or in the one that all of CUDA 13 shares.
void wheel_folders(const LibraryName& name, std::vector<std::string>& out) {
  std::vector<std::string> sites;
  for (const char* root : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
    if (const std::string at = environment(root); !at.empty())
      expand(at + "/lib/python3*/site-packages", sites);
  }
  if (const std::string home = environment("HOME"); !home.empty()) {
    expand(home + "/.local/lib/python3*/site-packages", sites);
  }
  for (const char* pattern : {"/usr/local/lib/python3*/*-packages", "/usr/lib/python3*/*-packages",
                              "/opt/conda/lib/python3*/site-packages"}) {
    expand(pattern, sites);
  }
  for (const std::string& site : sites) {
    out.push_back(site + "/nvidia/" + name.wheel_folder + "/lib");
    out.push_back(site + "/nvidia/cu13/lib");
  }
}

bool load(const std::string& file, Found& found) {
  found.handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!found.handle) return false;
  Dl_info info;
  void* dynamic = dlsym(found.handle, "_init");
  found.path = dynamic && dladdr(dynamic, &info) && info.dli_fname ? info.dli_fname : file;
  return true;
}

bool exists(const std::string& path) {
  std::vector<std::string> found;
  expand(path, found);
  return !found.empty();
}

}  // namespace

Found find_library(const LibraryName& name) {
  Found found;
  const std::string file = name.file;
  std::string refused;  // a file that is there but does not load
  const auto try_folders = [&](const std::vector<std::string>& folders) {
    for (const std::string& folder : folders) {
      const std::string path = folder + "/" + file;
      if (!exists(path)) continue;
      if (load(path, found)) {
        found.path = path;
        return true;
      }
      if (refused.empty()) {
        const char* why = dlerror();
        refused = path + " does not load: " + (why ? why : "unknown reason");
      }
    }
    return false;
  };

  std::vector<std::string> folders;
  split(environment("GRADTAPE_CUDA_LIBRARY_PATH"), folders);
  if (try_folders(folders)) return found;

  if (void* handle = dlopen(name.file, RTLD_NOW | RTLD_NOLOAD)) {
    found.handle = handle;
    found.path = file + " (loaded by this process)";
    return found;
  }

  folders.clear();
  wheel_folders(name, folders);
  if (try_folders(folders)) return found;

  if (load(file, found)) return found;

  folders.clear();
  for (const char* root : {"CUDNN_PATH", "CUDA_PATH", "CUDA_HOME"}) {
    const std::string at = environment(root);
    if (at.empty()) continue;
    folders.push_back(at + "/lib64");
    folders.push_back(at + "/lib");
  }
  folders.emplace_back("/usr/local/cuda/lib64");
  if (try_folders(folders)) return found;

  found.reason = refused.empty() ? std::string(name.title) + " was not found (" + name.file +
                                       "); install it with: pip install " + name.wheel +
                                       ", or name its folder in GRADTAPE_CUDA_LIBRARY_PATH"
                                 : refused;
  return found;
}

std::string version_text(size_t version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

void* symbol_of(const Found& library, const char* name) {
  return library.handle ? dlsym(library.handle, name) : nullptr;
}

}  // namespace gt::cuda
