// Matrix products of bfloat16 factors, summed in float32, by the oneDNN library of MindSpore's wheel: see native.py. Arrays are dense, row by
// row. A bfloat16 is the upper half of a float32.
#include <atomic>
#include <cstdint>
#include <cstring>
#include <vector>

#include "threads.h"

namespace {
// C = alpha op(A) op(B) + beta C, row by row; op is 'N' or, transposed, 'T'. That library runs it on the calling thread.
using Product = int (*)(char, char, int64_t, int64_t, int64_t, float, const uint16_t *, int64_t, const uint16_t *, int64_t, float, float *,
                        int64_t);

Product product = nullptr;

// To the nearest, ties to even. NaN stays NaN; -ffast-math would remove a test of the float.
inline uint16_t round_to_bfloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
  return (bits & 0x7FFFFFFFu) > 0x7F800000u ? bits >> 16 | 0x40u : rounded;
}

// C [m, n] = op(A) op(B) + bias, with k terms in each sum. The tiles of C have one size, whatever the number of threads.
int multiply(char transpose_a, char transpose_b, int64_t m, int64_t n, int64_t k, const uint16_t *a, const uint16_t *b, const float *bias,
             float *c) {
  if (product == nullptr) return 1;
  constexpr int64_t kRows = 256, kColumns = 256;
  const int64_t across = (n + kColumns - 1) / kColumns, down = (m + kRows - 1) / kRows;
  std::atomic<int> status{0};
  Threads::run(across * down, [&](int64_t tile) {
    const int64_t row = tile / across * kRows, column = tile % across * kColumns;
    const int64_t rows = std::min(kRows, m - row), columns = std::min(kColumns, n - column);
    float *corner = c + row * n + column;
    if (bias != nullptr) {
      for (int64_t i = 0; i < rows; ++i) std::copy_n(bias + column, columns, corner + i * n);
    }
    const bool a_in_columns = transpose_a == 'T', b_in_columns = transpose_b == 'T';
    const int failed = product(transpose_a, transpose_b, rows, columns, k, 1.0f, a + (a_in_columns ? row : row * k), a_in_columns ? m : k,
                               b + (b_in_columns ? column * k : column), b_in_columns ? k : n, bias == nullptr ? 0.0f : 1.0f, corner, n);
    if (failed != 0) status = failed;
  });
  return status;
}

const uint16_t *bfloat16(void *array) { return static_cast<const uint16_t *>(array); }
}  // namespace

// The product that the kernels of this file use.
extern "C" void use_product(void *function) { product = reinterpret_cast<Product>(function); }

// x float32 [T, I] -> bfloat16 [T, I]
extern "C" int round_bfloat16(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  const float *x = static_cast<const float *>(params[0]);
  uint16_t *y = static_cast<uint16_t *>(params[1]);
  for_rows(shapes[0][0], shapes[0][1], [=, size = shapes[0][1]](int64_t begin, int64_t end) {
    for (int64_t i = begin * size; i < end * size; ++i) y[i] = round_to_bfloat16(x[i]);
  });
  return 0;
}

// dout float32 [T, O] -> bfloat16 [T, O], and the bias's gradient, the sums of the columns: float32 [O]
extern "C" int round_gradient(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  const float *dout = static_cast<const float *>(params[0]);
  uint16_t *rounded = static_cast<uint16_t *>(params[1]);
  const int64_t size = shapes[0][1];
  ColumnSums sums(shapes[0][0], size);
  Threads::run(sums.blocks, [&](int64_t block) {
    float *part = sums.part(block);
    for (int64_t row = sums.begin(block); row < sums.begin(block + 1); ++row) {
      for (int64_t i = 0; i < size; ++i) {
        rounded[row * size + i] = round_to_bfloat16(dout[row * size + i]);
        part[i] += dout[row * size + i];
      }
    }
  });
  sums.write(static_cast<float *>(params[2]));
  return 0;
}

// x bfloat16 [T, I], weight bfloat16 [O, I], bias float32 [O] -> float32 [T, O]
extern "C" int linear(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  const int64_t rows = shapes[0][0], size_in = shapes[0][1], size_out = shapes[1][0];
  const float *bias = static_cast<const float *>(params[2]);
  return multiply('N', 'T', rows, size_out, size_in, bfloat16(params[0]), bfloat16(params[1]), bias, static_cast<float *>(params[3]));
}

// dout bfloat16 [T, O], weight bfloat16 [O, I] -> dx float32 [T, I]
extern "C" int linear_input_gradient(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  const int64_t rows = shapes[0][0], size_out = shapes[0][1], size_in = shapes[1][1];
  return multiply('N', 'N', rows, size_in, size_out, bfloat16(params[0]), bfloat16(params[1]), nullptr, static_cast<float *>(params[2]));
}

// dout bfloat16 [T, O], x bfloat16 [T, I] -> dweight float32 [O, I]
extern "C" int linear_weight_gradient(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  const int64_t rows = shapes[0][0], size_out = shapes[0][1], size_in = shapes[1][1];
  return multiply('T', 'N', size_out, size_in, rows, bfloat16(params[0]), bfloat16(params[1]), nullptr, static_cast<float *>(params[2]));
}
