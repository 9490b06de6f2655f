// Linear layers in float32, for MindSpore's CPU graphs: see native_layers.py. The products are oneDNN's sgemm, which the framework's CPU plugin carries:
// the matrix product that the framework itself takes from there is up to three times slower where a weight is not transposed.
//
// The framework's oneDNN expects a thread pool, and computes on the calling thread without one; so the threads here share out tiles of the product.
#include <algorithm>
#include <cstdint>

#include "sgemm.h"
#include "threads.h"

namespace {
// c [m, n] = op(a) op(b) + bias, if there is one; k terms in each sum. The tiles follow from m and n alone, and so do the results, to the last bit.
// A tile has few enough rows that the 378 tokens of a small batch make two of nearly equal size; 48 rows are a block of oneDNN's.
template <bool a_transposed, bool b_transposed>
int multiply(const void *left, const void *right, int64_t m, int64_t n, int64_t k, void *out, const float *bias = nullptr) {
  constexpr int64_t kRows = 192, kColumns = 512;
  const float *a = static_cast<const float *>(left), *b = static_cast<const float *>(right);
  float *c = static_cast<float *>(out);
  if (sgemm() == nullptr) return 1;
  const int64_t across = (n + kColumns - 1) / kColumns, down = (m + kRows - 1) / kRows;
  Threads::run(across * down, [&](int64_t part) {
    const int64_t row = part / across * kRows, column = part % across * kColumns;
    const int64_t rows = std::min(kRows, m - row), columns = std::min(kColumns, n - column);
    float *corner = c + row * n + column;
    if (bias != nullptr) {
      for (int64_t i = 0; i < rows; ++i) std::copy_n(bias + column, columns, corner + i * n);
    }
    sgemm()(a_transposed ? 'T' : 'N', b_transposed ? 'T' : 'N', rows, columns, k, 1.0f, a + (a_transposed ? row : row * k), a_transposed ? m : k,
            b + (b_transposed ? column * k : column), b_transposed ? k : n, bias == nullptr ? 0.0f : 1.0f, corner, n);
  });
  return 0;
}

void sum_columns(const float *x, const int64_t *shape, float *out) {
  ColumnSums sums(shape[0], shape[1]);
  Threads::run(sums.blocks, [&](int64_t block) {
    float *part = sums.part(block);
    for (int64_t row = sums.begin(block); row < sums.begin(block + 1); ++row) {
      for (int64_t i = 0; i < sums.size; ++i) part[i] += x[row * sums.size + i];
    }
  });
  sums.write(out);
}
}  // namespace

// Whether oneDNN is loaded in this process.
extern "C" int has_float32_products() { return sgemm() != nullptr; }

// x [T, I], weight [O, I], bias [O] -> x weight^T + bias, [T, O]
extern "C" int float32_linear(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  return multiply<false, true>(params[0], params[1], shapes[0][0], shapes[1][0], shapes[0][1], params[3], static_cast<const float *>(params[2]));
}

// dout [T, O], weight [O, I] -> dout weight, [T, I]
extern "C" int float32_input_gradient(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  return multiply<false, false>(params[0], params[1], shapes[0][0], shapes[1][1], shapes[0][1], params[2]);
}

// dout [T, O], x [T, I] -> dout^T x, [O, I]; the sums of dout's columns, [O]
extern "C" int float32_weight_gradient(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  sum_columns(static_cast<const float *>(params[0]), shapes[0], static_cast<float *>(params[3]));
  return multiply<true, false>(params[0], params[1], shapes[0][1], shapes[1][1], shapes[0][0], params[2]);
}
