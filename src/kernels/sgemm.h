// The float32 matrix product of oneDNN, which MindSpore's CPU plugin carries. It computes on the calling thread.
#pragma once
#include <dlfcn.h>

#include <cstdint>

namespace {
// c [m, n] = alpha op(a) op(b) + beta c, arrays row by row; see oneDNN's dnnl_sgemm.
using Sgemm = int (*)(char, char, int64_t, int64_t, int64_t, float, const float *, int64_t, const float *, int64_t, float, float *, int64_t);

Sgemm find_sgemm() {
  for (const char *name : {"libdnnl.so.3", "libdnnl.so.2"}) {
    if (void *library = dlopen(name, RTLD_LAZY | RTLD_NOLOAD)) return reinterpret_cast<Sgemm>(dlsym(library, "dnnl_sgemm"));
  }
  return nullptr;
}

Sgemm sgemm() {
  static const Sgemm found = find_sgemm();
  return found;
}
}  // namespace
