// Attention in one kernel forward and one backward, for MindSpore's CPU graphs: see native_layers.py. Arrays are float32 [T, H], as the projections
// give and take them: a head is D of their columns. The factors of its products are float32, or rounded to bfloat16.
//
// A thread computes one head of one sequence at a time. Its scores stay in the caches, and nothing of them is stored for the backward pass,
// which computes them again.
#include <cmath>
#include <limits>
#include <vector>

#include "bfloat16.h"
#include "dropout.h"
#include "sgemm.h"
#include "threads.h"

namespace {
// A part of an array: rows that are `width` apart.
struct Slice {
  float *x;
  int64_t width, rows, columns;
};

struct Float32 {
  static bool missing() { return sgemm() == nullptr; }
  static int64_t fill(int64_t size) { return size; }
  static void start() {}
  static void stop() {}

  // c = op(a) op(b)
  template <bool a_transposed, bool b_transposed>
  static void multiply(const Slice &a, const Slice &b, const Slice &c) {
    sgemm()(a_transposed ? 'T' : 'N', b_transposed ? 'T' : 'N', c.rows, c.columns, a_transposed ? a.rows : a.columns, 1.0f, a.x, a.width, b.x,
            b.width, 0.0f, c.x, c.width);
  }
};

#ifdef __AVX512BF16__
struct Bfloat16 {
  static bool missing() { return false; }
  static int64_t fill(int64_t size) { return round_up(size); }
  static void start() { start_tiles(); }
  static void stop() { stop_tiles(); }

  template <bool a_transposed, bool b_transposed>
  static void multiply(const Slice &a, const Slice &b, const Slice &c) {
    thread_local std::vector<uint16_t> left, right;
    thread_local std::vector<float> zeros;
    zeros.resize(std::max<int64_t>(zeros.size(), round_up(c.columns)), 0.0f);
    pack<a_transposed, a_transposed>(a, &left);
    pack<!b_transposed, b_transposed>(b, &right);
    const int64_t terms = a_transposed ? a.rows : a.columns;
    const Product product{left.data(), right.data(), zeros.data(), c.rows, c.columns, round_up(terms) / kTerms, c.x, c.width};
    product.compute(0, 0, std::max(c.rows, c.columns));
  }

 private:
  // A factor with the terms of its sums along the rows of x, or along its columns; `transposed` as for pack_rows.
  template <bool by_rows, bool transposed>
  static void pack(const Slice &slice, std::vector<uint16_t> *packed) {
    packed->resize(round_up(slice.rows) * round_up(slice.columns));
    uint16_t *along = by_rows ? nullptr : packed->data(), *across = by_rows ? packed->data() : nullptr;
    pack_rows<transposed, transposed>(slice.x, slice.width, slice.rows, slice.columns, 0, slice.rows, along, across);
  }
};
#endif

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
  template <typename Products>
  Slice find_probs(int64_t part, std::vector<float> *memory) const {
    const int64_t filled = Products::fill(length);
    memory->resize(filled * filled);
    const Slice probs{memory->data(), filled, length, length};
    Products::template multiply<false, true>(head(query, part), head(key, part), probs);
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

// query, key, value [T, H], mask, dropout_key int32 [2], numbers int32 [3] (stream, threshold, heads) -> context [T, H]
template <typename Products>
int attend(void **params, int64_t **shapes) {
  const Attention all(params, shapes);
  if (Products::missing()) return 1;
  Threads::run(all.parts, [&](int64_t part) {
    thread_local std::vector<float> memory;
    Products::start();
    const Slice probs = all.find_probs<Products>(part, &memory);
    all.drop(part, probs);
    Products::template multiply<false, false>(probs, all.head(all.value, part), all.head(Attention::array(params[6]), part));
    Products::stop();
  });
  return 0;
}

// The inputs of `attend`, dcontext [T, H] -> dquery, dkey, dvalue [T, H]
template <typename Products>
int differentiate(void **params, int64_t **shapes) {
  const Attention all(params, shapes);
  if (Products::missing()) return 1;
  Threads::run(all.parts, [&](int64_t part) {
    thread_local std::vector<float> memory, slope_memory;
    Products::start();
    const Slice probs = all.find_probs<Products>(part, &memory), dcontext = all.head(Attention::array(params[6]), part);
    slope_memory.resize(memory.size());
    const Slice slopes{slope_memory.data(), probs.width, probs.rows, probs.columns};
    Products::template multiply<false, true>(dcontext, all.head(all.value, part), slopes);
    all.go_back(part, probs, slopes);
    Products::template multiply<true, false>(probs, dcontext, all.head(Attention::array(params[9]), part));
    Products::template multiply<false, false>(slopes, all.head(all.key, part), all.head(Attention::array(params[7]), part));
    Products::template multiply<true, false>(slopes, all.head(all.query, part), all.head(Attention::array(params[8]), part));
    Products::stop();
  });
  return 0;
}
}  // namespace

extern "C" int float32_attention(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  return attend<Float32>(params, shapes);
}

extern "C" int float32_attention_gradient(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  return differentiate<Float32>(params, shapes);
}

#ifdef __AVX512BF16__
extern "C" int bfloat16_attention(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  return attend<Bfloat16>(params, shapes);
}

extern "C" int bfloat16_attention_gradient(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  return differentiate<Bfloat16>(params, shapes);
}
#endif
