// Parts of BERT in one pass forward and one backward, for MindSpore's CPU graphs: see native.py. Arrays are dense, row by row, and
// float32 unless noted.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "dropout.h"
#include "threads.h"

namespace {
// GELU's distribution function, as fitted in activations.py: Phi(x) = 1 / (1 + exp(-x P(x^2))), P of degree 6.
inline float cdf(float x) {
  const float u = x * x;
  float p = 3.627849719724928e-09f;
  p = p * u - 2.67566183860311e-07f;
  p = p * u + 7.948138071023302e-06f;
  p = p * u - 1.1054674835933904e-04f;
  p = p * u - 6.605348602307003e-05f;
  p = p * u + 7.266829834546038e-02f;
  p = p * u + 1.5957685367818392f;
  return 1.0f / (1.0f + std::exp(std::fmin(-x * p, 80.0f)));  // an infinite divisor would make NaN
}

int64_t count(int ndim, const int64_t *shape) {
  int64_t n = 1;
  for (int i = 0; i < ndim; ++i) n *= shape[i];
  return n;
}

// Mean and 1 / deviation of a row.
inline void moments(const float *x, int64_t size, float eps, float *mean, float *inverse) {
  float sum = 0.0f, squares = 0.0f;
  for (int64_t i = 0; i < size; ++i) sum += x[i];
  const float centre = sum / size;
  for (int64_t i = 0; i < size; ++i) squares += (x[i] - centre) * (x[i] - centre);
  *mean = centre;
  *inverse = 1.0f / std::sqrt(squares / size + eps);
}
}  // namespace

// Limit the threads of this process's kernels; called before the first kernel.
extern "C" void use_threads(int most) { Threads::most = most; }

extern "C" int gelu(int, void **params, int *ndims, int64_t **shapes, const char **, void *, void *) {
  const float *x = static_cast<const float *>(params[0]);
  float *y = static_cast<float *>(params[1]);
  for_rows(count(ndims[0], shapes[0]), 1, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = x[i] * cdf(x[i]);
  });
  return 0;
}

extern "C" int gelu_gradient(int, void **params, int *ndims, int64_t **shapes, const char **, void *, void *) {
  const float *x = static_cast<const float *>(params[0]);
  const float *dout = static_cast<const float *>(params[1]);
  float *dx = static_cast<float *>(params[2]);
  for_rows(count(ndims[0], shapes[0]), 1, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float density = 0.3989422804014327f * std::exp(-0.5f * x[i] * x[i]);
      dx[i] = dout[i] * (cdf(x[i]) + x[i] * density);
    }
  });
  return 0;
}

// x [T, H], weight [H], bias [H], eps [1] -> y [T, H]
extern "C" int layer_norm(int, void **params, int *ndims, int64_t **shapes, const char **, void *, void *) {
  const float *xs = static_cast<const float *>(params[0]), *weight = static_cast<const float *>(params[1]);
  const float *bias = static_cast<const float *>(params[2]), eps = *static_cast<const float *>(params[3]);
  float *ys = static_cast<float *>(params[4]);
  const int64_t size = shapes[1][0], rows = count(ndims[0], shapes[0]) / size;
  for_rows(rows, size, [=](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float *x = xs + row * size;
      float *y = ys + row * size, mean, inverse;
      moments(x, size, eps, &mean, &inverse);
      for (int64_t i = 0; i < size; ++i) y[i] = (x[i] - mean) * inverse * weight[i] + bias[i];
    }
  });
  return 0;
}

// x [T, H], weight [H], eps [1], dout [T, H] -> dx [T, H], dweight [H], dbias [H]
extern "C" int layer_norm_gradient(int, void **params, int *ndims, int64_t **shapes, const char **, void *, void *) {
  const float *xs = static_cast<const float *>(params[0]), *weight = static_cast<const float *>(params[1]);
  const float eps = *static_cast<const float *>(params[2]), *douts = static_cast<const float *>(params[3]);
  float *dxs = static_cast<float *>(params[4]), *dweight = static_cast<float *>(params[5]), *dbias = static_cast<float *>(params[6]);
  const int64_t size = shapes[1][0], rows = count(ndims[0], shapes[0]) / size;
  ColumnSums weight_sums(rows, size), bias_sums(rows, size);
  Threads::run(weight_sums.blocks, [&](int64_t block) {
    float *weight_part = weight_sums.part(block), *bias_part = bias_sums.part(block);
    for (int64_t row = weight_sums.begin(block); row < weight_sums.begin(block + 1); ++row) {
      const float *x = xs + row * size, *dout = douts + row * size;
      float *dx = dxs + row * size, mean, inverse, sum = 0.0f, dot = 0.0f;
      moments(x, size, eps, &mean, &inverse);
      for (int64_t i = 0; i < size; ++i) {
        const float normalised = (x[i] - mean) * inverse, d = dout[i] * weight[i];
        sum += d;
        dot += d * normalised;
        weight_part[i] += dout[i] * normalised;
        bias_part[i] += dout[i];
      }
      const float mean_d = sum / size, mean_dot = dot / size;
      for (int64_t i = 0; i < size; ++i) {
        dx[i] = (dout[i] * weight[i] - mean_d - (x[i] - mean) * inverse * mean_dot) * inverse;
      }
    }
  });
  weight_sums.write(dweight);
  bias_sums.write(dbias);
  return 0;
}

// x -> the sum of its squares, a scalar: of pieces in float32, of the pieces in float64
extern "C" int square_sum(int, void **params, int *ndims, int64_t **shapes, const char **, void *, void *) {
  constexpr int64_t kPiece = 1 << 12;
  const int64_t size = count(ndims[0], shapes[0]), pieces = (size + kPiece - 1) / kPiece;
  const float *x = static_cast<const float *>(params[0]);
  std::vector<float> sums(pieces);
  float *parts = sums.data();
  for_rows(pieces, kPiece, [=](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      float sum = 0.0f;
      for (int64_t i = piece * kPiece; i < std::min(size, (piece + 1) * kPiece); ++i) sum += x[i] * x[i];
      parts[piece] = sum;
    }
  });
  *static_cast<float *>(params[1]) = static_cast<float>(std::accumulate(sums.begin(), sums.end(), 0.0));
  return 0;
}

// x [A, B, C, D] -> y [A, C, B, D]
extern "C" int swap_middle(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  const float *x = static_cast<const float *>(params[0]);
  float *y = static_cast<float *>(params[1]);
  const int64_t as = shapes[0][0], bs = shapes[0][1], cs = shapes[0][2], ds = shapes[0][3];
  for_rows(as * cs, bs * ds, [=](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t a = row / cs, c = row % cs;
      for (int64_t b = 0; b < bs; ++b) std::copy_n(x + ((a * bs + b) * cs + c) * ds, ds, y + (row * bs + b) * ds);
    }
  });
  return 0;
}

// scores [B, N, Q, S], mask [B, 1, 1, S] or [B, 1, Q, S] added to them -> softmax over S
extern "C" int masked_softmax(int, void **params, int *, int64_t **shapes, const char **, void *, void *) {
  const float *all_scores = static_cast<const float *>(params[0]), *masks = static_cast<const float *>(params[1]);
  float *all_probs = static_cast<float *>(params[2]);
  const int64_t batch = shapes[0][0], rows = shapes[0][1] * shapes[0][2], size = shapes[0][3], masked_rows = shapes[1][2];
  for_rows(batch * rows, size, [=](int64_t begin, int64_t end) {
    const float *scores = all_scores + begin * size;
    float *probs = all_probs + begin * size;
    for (int64_t row = begin; row < end; ++row, scores += size, probs += size) {
      const float *mask = masks + (row / rows * masked_rows + row % rows % masked_rows) * size;
      float largest = scores[0] + mask[0], sum = 0.0f;
      for (int64_t i = 1; i < size; ++i) largest = std::max(largest, scores[i] + mask[i]);
      for (int64_t i = 0; i < size; ++i) {
        probs[i] = std::exp(scores[i] + mask[i] - largest);
        sum += probs[i];
      }
      const float inverse = 1.0f / sum;
      for (int64_t i = 0; i < size; ++i) probs[i] *= inverse;
    }
  });
  return 0;
}

// probs [..., S], dout [..., S] -> probs * (dout - sum(probs * dout))
extern "C" int softmax_gradient(int, void **params, int *ndims, int64_t **shapes, const char **, void *, void *) {
  const float *all_probs = static_cast<const float *>(params[0]), *douts = static_cast<const float *>(params[1]);
  float *all_dscores = static_cast<float *>(params[2]);
  const int64_t size = shapes[0][ndims[0] - 1], rows = count(ndims[0], shapes[0]) / size;
  for_rows(rows, size, [=](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float *probs = all_probs + row * size, *dout = douts + row * size;
      float *dscores = all_dscores + row * size, dot = 0.0f;
      for (int64_t i = 0; i < size; ++i) dot += probs[i] * dout[i];
      for (int64_t i = 0; i < size; ++i) dscores[i] = probs[i] * (dout[i] - dot);
    }
  });
  return 0;
}

// x [...], dropout_key int32 [2] (seed, step), numbers int32 [2] (stream, threshold of 2^24) -> y: x scaled, or 0; see dropout.py
extern "C" int dropout(int, void **params, int *ndims, int64_t **shapes, const char **, void *, void *) {
  const float *x = static_cast<const float *>(params[0]);
  const Dropout dropped(params[1], params[2]);
  float *y = static_cast<float *>(params[3]);
  for_rows(count(ndims[0], shapes[0]), 1, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = dropped.apply(i, x[i]);
  });
  return 0;
}
