// GELU (erf form) and its gradient in one pass each, for MindSpore's CPU graphs: see native.py.
// The distribution function is the fit of layers.py: Phi(x) = 1 / (1 + exp(-x P(x^2))), P of degree 6.
#include <cmath>
#include <cstdint>

namespace {
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
}  // namespace

extern "C" int gelu(int, void **params, int *ndims, int64_t **shapes, const char **, void *, void *) {
  const float *x = static_cast<const float *>(params[0]);
  float *y = static_cast<float *>(params[1]);
  const int64_t n = count(ndims[0], shapes[0]);
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * cdf(x[i]);
  return 0;
}

extern "C" int gelu_gradient(int, void **params, int *ndims, int64_t **shapes, const char **, void *, void *) {
  const float *x = static_cast<const float *>(params[0]);
  const float *dout = static_cast<const float *>(params[1]);
  float *dx = static_cast<float *>(params[2]);
  const int64_t n = count(ndims[0], shapes[0]);
  for (int64_t i = 0; i < n; ++i) {
    const float density = 0.3989422804014327f * std::exp(-0.5f * x[i] * x[i]);
    dx[i] = dout[i] * (cdf(x[i]) + x[i] * density);
  }
  return 0;
}
