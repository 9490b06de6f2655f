// Linear layers whose factors are bfloat16, for MindSpore's CPU graphs: see layers.py and bfloat16.h.
#include "bfloat16.h"
#ifdef __AVX512BF16__

namespace {
const float *floats(void *array) { return static_cast<const float *>(array); }
uint16_t *packed(void *array) { return static_cast<uint16_t *>(array); }

// x [rows, columns] as two factors; see pack_rows. `sums`, if there are any, get the sums of the columns.
template <bool along_transposed, bool across_transposed>
void pack(void *array, const int64_t *shape, void *along, void *across, float *column_sums = nullptr) {
  const float *x = floats(array);
  const int64_t rows = shape[0], columns = shape[1];
  ColumnSums sums(rows, column_sums == nullptr ? 0 : columns);
  Threads::run(sums.blocks, [&](int64_t block) {
    const int64_t begin = sums.begin(block), end = sums.begin(block + 1);
    pack_rows<along_transposed, across_transposed>(x, columns, rows, columns, begin, end, packed(along), packed(across));
    if (column_sums == nullptr) return;
    float *part = sums.part(block);
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t i = 0; i < columns; ++i) part[i] += x[row * columns + i];
    }
  });
  if (column_sums != nullptr) sums.write(column_sums);
}

// c [m, n] = a b + bias, from packed factors with k terms, zeros included.
void multiply(void *a, void *b, const float *bias, const int64_t *shape, int64_t k, void *c) {
  constexpr int64_t kSide = 256;  // rows and columns that a thread takes at once
  const int64_t m = shape[0], n = shape[1], across = (n + kSide - 1) / kSide, down = (m + kSide - 1) / kSide;
  std::vector<float> starts(round_up(n), 0.0f);
  if (bias != nullptr) std::copy_n(bias, n, starts.data());
  const Product product{packed(a), packed(b), starts.data(), m, n, k / kTerms, static_cast<float *>(c), n};
  Threads::run(across * down, [&](int64_t part) {
    start_tiles();
    product.compute(part / across * kSide, part % across * kSide, kSide);
    stop_tiles();
  });
}
}  // namespace

// x float32 [T, I] -> bfloat16, two of [T, I] filled up: the left factor of x W^T, the right factor of dout^T x
extern "C" int pack_input(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  pack<false, false>(params[0], shapes[0], params[1], params[2]);
  return 0;
}

// weight float32 [O, I] -> bfloat16, two of [O, I] filled up: the right factors of x W^T and of dout W
extern "C" int pack_weight(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  pack<true, false>(params[0], shapes[0], params[1], params[2]);
  return 0;
}

// dout float32 [T, O] -> bfloat16, two of [T, O] filled up: the left factors of dout W and of dout^T x; float32 [O], the sums of the columns
extern "C" int pack_gradient(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  pack<false, true>(params[0], shapes[0], params[1], params[2], static_cast<float *>(params[3]));
  return 0;
}

// Packed x and weight, bias float32 [O], x for its shape -> x W^T + bias, float32 [T, O]
extern "C" int linear(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  multiply(params[0], params[1], floats(params[2]), shapes[4], shapes[0][1], params[4]);
  return 0;
}

// Packed factors, and arrays of which the shapes alone count -> their product, float32
extern "C" int product(int count, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  multiply(params[0], params[1], nullptr, shapes[count - 1], shapes[0][1], params[count - 1]);
  return 0;
}
#endif
