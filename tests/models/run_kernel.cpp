// Calls one kernel of a library on arrays from standard input, for processors that are only emulated: run_kernel LIBRARY KERNEL.
// In: int64 number of arrays; of each its int64 number of dimensions, the dimensions, and values of 4 bytes. Out: the values of all arrays.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <vector>

namespace {
int64_t read_number() {
  int64_t value = 0;
  return std::fread(&value, sizeof value, 1, stdin) == 1 ? value : -1;
}
}  // namespace

int main(int, char **words) {
  void *library = dlopen(words[1], RTLD_NOW);
  if (library == nullptr) return std::fprintf(stderr, "%s\n", dlerror()), 2;
  using Kernel = int (*)(int, void **, int *, int64_t **, const char **, void *, void *);
  const auto kernel = reinterpret_cast<Kernel>(dlsym(library, words[2]));
  if (kernel == nullptr) return std::fprintf(stderr, "%s\n", dlerror()), 2;
  const int64_t count = read_number();
  std::vector<std::vector<int64_t>> shapes(count);
  std::vector<std::vector<uint32_t>> values(count);
  std::vector<int> ndims(count);
  std::vector<int64_t *> shape_pointers(count);
  std::vector<void *> value_pointers(count);
  for (int64_t i = 0; i < count; ++i) {
    ndims[i] = static_cast<int>(read_number());
    int64_t size = 1;
    for (int axis = 0; axis < ndims[i]; ++axis) size *= shapes[i].emplace_back(read_number());
    values[i].resize(size);
    if (std::fread(values[i].data(), 4, size, stdin) != static_cast<size_t>(size)) return 3;
    shape_pointers[i] = shapes[i].data();
    value_pointers[i] = values[i].data();
  }
  const int code = kernel(static_cast<int>(count), value_pointers.data(), ndims.data(), shape_pointers.data(), nullptr, nullptr, nullptr);
  for (const auto &array : values) std::fwrite(array.data(), 4, array.size(), stdout);
  return code;
}
