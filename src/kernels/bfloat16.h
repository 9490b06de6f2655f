// Matrix products of bfloat16 factors, summed in float32, on processors with AVX512-BF16 and, if they have it, AMX. A bfloat16 is the upper half
// of a float32; numbers too small for a normal float32 become 0.
//
// Factors are rounded and packed once for all their products, in blocks of 16 rows (or columns) of a product by 32 terms of its sums, as
// the instructions take them: a left factor's block is [16 rows][32 terms], a right factor's [16 pairs of terms][16 columns][2]. Zeros fill
// up both sizes to multiples of 32.
#pragma once
#ifdef __AVX512BF16__
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "threads.h"

namespace {
constexpr int64_t kRows = 16, kTerms = 32, kPair = 2 * kRows;  // a block is 1 KB; rows and columns are computed in pairs of blocks
constexpr int64_t kBlock = kRows * kTerms;

inline int64_t round_up(int64_t size) { return (size + kPair - 1) / kPair * kPair; }

// 16 x 16 values of 4 bytes: stage by stage, blocks of s x s change places across the diagonal.
inline void transpose(__m512i *rows) {
#pragma GCC unroll 4
  for (int s = 1; s < 16; s *= 2) {
    alignas(64) int32_t low[16], high[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      low[i] = i & s ? 16 + i - s : i;
      high[i] = i & s ? 16 + i : i + s;
    }
    const __m512i lows = _mm512_load_si512(low), highs = _mm512_load_si512(high);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      if (i & s) continue;
      const __m512i first = rows[i], second = rows[i + s];
      rows[i] = _mm512_permutex2var_epi32(first, lows, second);
      rows[i + s] = _mm512_permutex2var_epi32(first, highs, second);
    }
  }
}

inline __m512 load(const float *x, int64_t count) {
  if (count >= 16) return _mm512_loadu_ps(x);
  return count <= 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps((1u << count) - 1, x);
}

inline __m512i round_pair(__m512 low, __m512 high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

inline void store(const __m512i *rows, uint16_t *block) {
  for (int64_t i = 0; i < kRows; ++i) _mm512_storeu_si512(block + i * kTerms, rows[i]);
}

// A block of x [rows, columns], whose rows are `width` apart, with the terms of its sums along the columns. (Not inlined: it is compiled once.)
template <bool transposed>
__attribute__((noinline)) void pack_along(const float *x, int64_t width, int64_t rows, int64_t columns, uint16_t *block) {
  __m512i pairs[kRows];
  for (int64_t i = 0; i < kRows; ++i) {
    const float *row = x + i * width;
    pairs[i] = i < rows ? round_pair(load(row, columns), load(row + 16, columns - 16)) : _mm512_setzero_si512();
  }
  if (transposed) transpose(pairs);
  store(pairs, block);
}

// A block with the terms along the rows.
template <bool transposed>
__attribute__((noinline)) void pack_across(const float *x, int64_t width, int64_t rows, int64_t columns, uint16_t *block) {
  alignas(64) static const uint16_t kInterleaved[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                        8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i interleaved = _mm512_load_si512(kInterleaved);
  __m512i pairs[kRows];
  for (int64_t i = 0; i < kRows; ++i) {
    const __m512 even = load(x + 2 * i * width, 2 * i < rows ? columns : 0);
    const __m512 odd = load(x + (2 * i + 1) * width, 2 * i + 1 < rows ? columns : 0);
    pairs[i] = _mm512_permutexvar_epi16(interleaved, round_pair(even, odd));
  }
  if (transposed) transpose(pairs);
  store(pairs, block);
}

// Rows `begin` to `end` of x [rows, columns], `width` apart, as parts of two factors: `along` has sums over the columns, `across` over the
// rows; either may be missing. Without a transposition the first is a left factor and the second a right one.
template <bool along_transposed, bool across_transposed>
void pack_rows(const float *x, int64_t width, int64_t rows, int64_t columns, int64_t begin, int64_t end, uint16_t *along, uint16_t *across) {
  const int64_t along_steps = round_up(columns) / kTerms, across_steps = round_up(rows) / kTerms;
  for (int64_t row = begin; row < end; row += kPair) {
    for (int64_t column = 0; column < columns; column += kPair) {
      const float *corner = x + row * width + column;
      const int64_t below = rows - row, right = columns - column;
      for (int64_t half = 0; half < kPair; half += kRows) {
        if (along != nullptr) {
          uint16_t *block = along + ((row + half) / kRows * along_steps + column / kTerms) * kBlock;
          pack_along<along_transposed>(corner + half * width, width, below - half, right, block);
        }
        if (across != nullptr) {
          uint16_t *block = across + ((column + half) / kRows * across_steps + row / kTerms) * kBlock;
          pack_across<across_transposed>(corner + half, width, below, right - half, block);
        }
      }
    }
  }
}

// 32 x 32 values of a product: out = start + the terms of `steps` blocks. a and b are the first of two rows of blocks, `next` apart.
struct Step {
  int64_t steps, next;
  const uint16_t *a, *b;
  const float *start;
  int64_t start_width;  // 0: all rows start with the same values
  float *out;
  int64_t width;
};

inline void add_products(const Step &step) {
  constexpr int64_t kGroup = 8;
  for (int64_t row = 0; row < kPair; row += kGroup) {
    __m512 sums[kGroup][2];
#pragma GCC unroll 8
    for (int64_t i = 0; i < kGroup; ++i) {
      sums[i][0] = _mm512_loadu_ps(step.start + (row + i) * step.start_width);
      sums[i][1] = _mm512_loadu_ps(step.start + (row + i) * step.start_width + kRows);
    }
    const uint16_t *a = step.a + row / kRows * step.next + row % kRows * kTerms;
    for (int64_t block = 0; block < step.steps; ++block) {
      for (int64_t pair = 0; pair < kTerms / 2; ++pair) {
        const uint16_t *b = step.b + block * kBlock + pair * 2 * kRows;
        const __m512bh left = (__m512bh)_mm512_loadu_si512(b), right = (__m512bh)_mm512_loadu_si512(b + step.next);
#pragma GCC unroll 8
        for (int64_t i = 0; i < kGroup; ++i) {
          int32_t terms;
          std::memcpy(&terms, a + block * kBlock + i * kTerms + 2 * pair, sizeof terms);
          const __m512bh repeated = (__m512bh)_mm512_set1_epi32(terms);
          sums[i][0] = _mm512_dpbf16_ps(sums[i][0], repeated, left);
          sums[i][1] = _mm512_dpbf16_ps(sums[i][1], repeated, right);
        }
      }
    }
#pragma GCC unroll 8
    for (int64_t i = 0; i < kGroup; ++i) {
      _mm512_storeu_ps(step.out + (row + i) * step.width, sums[i][0]);
      _mm512_storeu_ps(step.out + (row + i) * step.width + kRows, sums[i][1]);
    }
  }
}

#ifdef __AMX_BF16__
// Linux lets a process use the tiles once it has asked: arch_prctl(ARCH_REQ_XCOMP_PERM, XTILEDATA).
inline bool has_tiles() {
  static const bool permitted = syscall(SYS_arch_prctl, 0x1023, 18) == 0;
  return permitted;
}

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};  // of a row of each tile
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

inline void start_tiles() {
  const TileConfig config;
  if (has_tiles()) _tile_loadconfig(&config);
}

inline void stop_tiles() {
  if (has_tiles()) _tile_release();
}

inline void add_products_in_tiles(const Step &step) {
  const int64_t start_bytes = step.start_width * sizeof(float), bytes = step.width * sizeof(float);
  const float *start = step.start, *below = start + kRows * step.start_width;
  for (int64_t i = 0; i < kPair; ++i) {  // the first stores would wait for the memory
    __builtin_prefetch(step.out + i * step.width, 1);
    __builtin_prefetch(step.out + i * step.width + kRows, 1);
  }
  _tile_loadd(0, start, start_bytes);
  _tile_loadd(1, start + kRows, start_bytes);
  _tile_loadd(2, below, start_bytes);
  _tile_loadd(3, below + kRows, start_bytes);
  for (int64_t block = 0; block < step.steps; ++block) {
    const uint16_t *a = step.a + block * kBlock, *b = step.b + block * kBlock;
    _tile_loadd(4, a, 64);
    _tile_loadd(6, b, 64);
    _tile_loadd(5, a + step.next, 64);
    _tile_loadd(7, b + step.next, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  float *out = step.out, *out_below = out + kRows * step.width;
  _tile_stored(0, out, bytes);
  _tile_stored(1, out + kRows, bytes);
  _tile_stored(2, out_below, bytes);
  _tile_stored(3, out_below + kRows, bytes);
}
#else
inline bool has_tiles() { return false; }
inline void start_tiles() {}
inline void stop_tiles() {}
inline void add_products_in_tiles(const Step &step) { add_products(step); }
#endif

inline void copy_block(const float *from, int64_t from_width, int64_t rows, int64_t columns, float *to, int64_t to_width) {
  for (int64_t i = 0; i < rows; ++i) std::copy_n(from + i * from_width, columns, to + i * to_width);
}

// A product c [m, n], its rows `width` apart, of packed factors whose sums have `blocks` blocks of terms; bias [n filled up] is added.
struct Product {
  const uint16_t *a, *b;
  const float *bias;
  int64_t m, n, blocks;
  float *c;
  int64_t width;

  // Compute rows and columns from the given ones on, `side` of each; the calling thread has started its tiles.
  void compute(int64_t first_row, int64_t first_column, int64_t side) const {
    constexpr int64_t kDepth = 512 / kTerms;  // blocks of terms that stay in the first cache
    const int64_t next = blocks * kBlock;
    alignas(64) float edge[kPair * kPair];
    for (int64_t depth = 0; depth < blocks; depth += kDepth) {
      for (int64_t column = first_column; column < std::min(n, first_column + side); column += kPair) {
        for (int64_t row = first_row; row < std::min(m, first_row + side); row += kPair) {
          float *corner = c + row * width + column;
          const int64_t rows = std::min(kPair, m - row), columns = std::min(kPair, n - column);
          const bool whole = rows == kPair && columns == kPair;
          if (!whole && depth > 0) copy_block(corner, width, rows, columns, edge, kPair);
          const uint16_t *left = a + row / kRows * next + depth * kBlock, *right = b + column / kRows * next + depth * kBlock;
          Step step{std::min(kDepth, blocks - depth), next, left, right, bias + column, 0, whole ? corner : edge, whole ? width : kPair};
          if (depth > 0) {
            step.start = step.out;
            step.start_width = step.width;
          }
          has_tiles() ? add_products_in_tiles(step) : add_products(step);
          if (!whole) copy_block(edge, kPair, rows, columns, corner, width);
        }
      }
    }
  }
};
}  // namespace
#endif
