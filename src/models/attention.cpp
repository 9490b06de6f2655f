// Attention whose products have bfloat16 factors, for MindSpore's CPU graphs: see bfloat16.py and bfloat16.h. Arrays are float32 [T, H], as the
// projections give and take them: a head is D of their columns.
//
// A thread computes one head of one sequence at a time. Its scores stay in the caches, and nothing of them is stored for the backward pass,
// which computes them again.
#include "bfloat16.h"
#ifdef __AVX512BF16__
#include <cmath>
#include <limits>

#include "dropout.h"

namespace {
// A part of an array: rows that are `width` apart.
struct Slice {
  float *x;
  int64_t width, rows, columns;
};

using Factor = std::vector<uint16_t>;

// A factor with the terms of its sums along the columns of x: a left one, transposed a right one.
template <bool transposed>
void along(const Slice &slice, Factor *packed) {
  packed->resize(round_up(slice.rows) * round_up(slice.columns));
  pack_rows<transposed, false>(slice.x, slice.width, slice.rows, slice.columns, 0, slice.rows, packed->data(), nullptr);
}

// A factor with the terms along the rows: a right one, transposed a left one.
template <bool transposed>
void across(const Slice &slice, Factor *packed) {
  packed->resize(round_up(slice.rows) * round_up(slice.columns));
  pack_rows<false, transposed>(slice.x, slice.width, slice.rows, slice.columns, 0, slice.rows, nullptr, packed->data());
}

void multiply(const Factor &a, const Factor &b, int64_t terms, const Slice &c) {
  thread_local std::vector<float> zeros;
  zeros.resize(std::max<int64_t>(zeros.size(), round_up(c.columns)), 0.0f);
  const Product product{a.data(), b.data(), zeros.data(), c.rows, c.columns, round_up(terms) / kTerms, c.x, c.width};
  product.compute(0, 0, std::max(c.rows, c.columns));
}

// softmax(factor * scores + mask), in place; inlined, GCC 12 computes each exp by itself
__attribute__((noinline)) void soften(const float *mask, float factor, int64_t count, float *scores) {
  float largest = std::numeric_limits<float>::lowest(), sum = 0.0f;
  for (int64_t i = 0; i < count; ++i) {
    scores[i] = scores[i] * factor + mask[i];
    largest = std::max(largest, scores[i]);
  }
  for (int64_t i = 0; i < count; ++i) scores[i] = std::exp(scores[i] - largest);
  for (int64_t i = 0; i < count; ++i) sum += scores[i];
  const float inverse = 1.0f / sum;
  for (int64_t i = 0; i < count; ++i) scores[i] *= inverse;
}

// The inputs that both passes share, and the sizes: B sequences of S tokens, N heads of D values.
struct Attention {
  float *query, *key, *value;
  const float *mask;  // [B, 1, 1, S] or [B, 1, S, S], added to the scores
  Dropout dropout;
  int64_t length, mask_rows, heads, width, size, parts;
  float scale;

  Attention(void **params, int64_t **shapes)
      : query(array(params[0])), key(array(params[1])), value(array(params[2])), mask(array(params[3])), dropout(params[4], params[5]) {
    length = shapes[3][3];
    mask_rows = shapes[3][2];
    heads = static_cast<const int32_t *>(params[5])[2];
    width = shapes[0][1];
    size = width / heads;
    parts = shapes[3][0] * heads;
    scale = 1.0f / std::sqrt(static_cast<float>(size));
  }

  static float *array(void *param) { return static_cast<float *>(param); }

  // The head of one sequence in an array [T, H].
  Slice head(float *x, int64_t part) const { return {x + part / heads * length * width + part % heads * size, width, length, size}; }

  // softmax(query key^T / sqrt D + mask)
  Slice find_probs(int64_t part, Factor *a, Factor *b, std::vector<float> *memory) const {
    const int64_t filled = round_up(length);
    memory->resize(filled * filled);
    along<false>(head(query, part), a);
    along<true>(head(key, part), b);
    const Slice probs{memory->data(), filled, length, length};
    multiply(*a, *b, size, probs);
    for (int64_t row = 0; row < length; ++row) {
      soften(mask + (part / heads * mask_rows + row % mask_rows) * length, scale, length, probs.x + row * filled);
    }
    return probs;
  }

  // From probs and the gradients of what Dropout made of them: the gradients of query key^T; probs become what Dropout makes of them.
  void go_back(int64_t part, const Slice &probs, const Slice &slopes) const {
    const Dropout own = dropout;  // copies: the compiler sees that no result is written over them
    const float factor = scale;
    for (int64_t row = 0; row < probs.rows; ++row) {
      const int64_t first = (part * probs.rows + row) * probs.columns, count = probs.columns;
      float *p = probs.x + row * probs.width, *slope = slopes.x + row * slopes.width, dot = 0.0f;
      for (int64_t i = 0; i < count; ++i) {
        slope[i] = own.apply(first + i, slope[i]);
        dot += p[i] * slope[i];
      }
      for (int64_t i = 0; i < count; ++i) {
        slope[i] = p[i] * (slope[i] - dot) * factor;
        p[i] = own.apply(first + i, p[i]);
      }
    }
  }

  void drop(int64_t part, const Slice &probs) const {
    const Dropout own = dropout;
    for (int64_t row = 0; row < probs.rows; ++row) {
      const int64_t first = (part * probs.rows + row) * probs.columns, count = probs.columns;
      float *p = probs.x + row * probs.width;
      for (int64_t i = 0; i < count; ++i) p[i] = own.apply(first + i, p[i]);
    }
  }
};
}  // namespace

// query, key, value [T, H], mask, dropout_key int32 [2], numbers int32 [3] (stream, threshold, heads) -> context [T, H]
extern "C" int attention(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  const Attention all(params, shapes);
  Threads::run(all.parts, [&](int64_t part) {
    thread_local Factor a, b;
    thread_local std::vector<float> memory;
    start_tiles();
    const Slice probs = all.find_probs(part, &a, &b, &memory);
    all.drop(part, probs);
    along<false>(probs, &a);
    across<false>(all.head(all.value, part), &b);
    multiply(a, b, all.length, all.head(Attention::array(params[6]), part));
    stop_tiles();
  });
  return 0;
}

// The inputs of `attention`, dcontext [T, H] -> dquery, dkey, dvalue [T, H]
extern "C" int attention_gradient(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  const Attention all(params, shapes);
  Threads::run(all.parts, [&](int64_t part) {
    thread_local Factor a, b;
    thread_local std::vector<float> memory, slope_memory;
    start_tiles();
    const Slice probs = all.find_probs(part, &a, &b, &memory), dcontext = all.head(Attention::array(params[6]), part);
    slope_memory.resize(memory.size());
    const Slice slopes{slope_memory.data(), probs.width, probs.rows, probs.columns};
    along<false>(dcontext, &a);
    along<true>(all.head(all.value, part), &b);
    multiply(a, b, all.size, slopes);
    all.go_back(part, probs, slopes);
    across<true>(probs, &a);
    across<false>(dcontext, &b);
    multiply(a, b, all.length, all.head(Attention::array(params[9]), part));
    along<false>(slopes, &a);
    across<false>(all.head(all.key, part), &b);
    multiply(a, b, all.length, all.head(Attention::array(params[7]), part));
    across<true>(slopes, &a);
    across<false>(all.head(all.query, part), &b);
    multiply(a, b, all.length, all.head(Attention::array(params[8]), part));
    stop_tiles();
  });
  return 0;
}
#endif
