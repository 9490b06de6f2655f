// The updates of optimisers, for MindSpore's CPU graphs: see src/optim/adam.py and lamb.py. A parameter, its moments and its gradient are read
// once and written once; all arrays are float32.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "threads.h"

namespace {
constexpr int64_t kPiece = 1 << 14;

struct Update {
  float *parameter, *moment1, *moment2;
  const float *gradient;
  float factor, rate, inverse1, inverse2, decay, beta1, rest1, beta2, rest2, eps;
  int64_t size = 1;

  // Inputs: parameter, both moments, gradient; scalars factor (of the gradient), rate, weight1 and weight2 (divisors of the moments), decay;
  // constants [5]: beta1, 1 - beta1, beta2, 1 - beta2, eps.
  Update(void **params, const int *ndims, int64_t **shapes) {
    parameter = static_cast<float *>(params[0]);
    moment1 = static_cast<float *>(params[1]);
    moment2 = static_cast<float *>(params[2]);
    gradient = static_cast<const float *>(params[3]);
    const auto scalar = [params](int index) { return *static_cast<const float *>(params[index]); };
    factor = scalar(4);
    rate = scalar(5);
    inverse1 = 1.0f / scalar(6);
    inverse2 = 1.0f / scalar(7);
    decay = scalar(8);
    const float *constants = static_cast<const float *>(params[9]);
    beta1 = constants[0];
    rest1 = constants[1];
    beta2 = constants[2];
    rest2 = constants[3];
    eps = constants[4];
    for (int i = 0; i < ndims[0]; ++i) size *= shapes[0][i];
  }

  int64_t pieces() const { return (size + kPiece - 1) / kPiece; }

  // body(index) for every value, by threads that take pieces.
  template <typename Body>
  void for_pieces(const Body &body) const {
    Threads::run(pieces(), [&](int64_t piece) { body(piece, piece * kPiece, std::min(size, (piece + 1) * kPiece)); });
  }

  void move_moments(int64_t i) const {
    const float g = gradient[i] * factor;
    moment1[i] = beta1 * moment1[i] + rest1 * g;
    moment2[i] = beta2 * moment2[i] + rest2 * g * g;
  }

  float step(int64_t i) const { return moment1[i] * inverse1 / (std::sqrt(moment2[i] * inverse2) + eps) + decay * parameter[i]; }
};
}  // namespace

// p -= rate (m / (sqrt(v) + eps) + decay p), of the new moments
extern "C" int adam(int, void **params, int *ndims, int64_t **shapes, const char **, void *, void *) {
  const Update update(params, ndims, shapes);
  update.for_pieces([&](int64_t, int64_t begin, int64_t end) {
    const Update own = update;  // a copy: the compiler sees that no result is written over it
    for (int64_t i = begin; i < end; ++i) {
      own.move_moments(i);
      own.parameter[i] -= own.rate * own.step(i);
    }
  });
  return 0;
}

// The same with the step scaled to the norm of the parameter, unless a norm is 0
extern "C" int lamb(int, void **params, int *ndims, int64_t **shapes, const char **, void *, void *) {
  Update update(params, ndims, shapes);
  std::vector<float> squares(2 * update.pieces());
  update.for_pieces([&](int64_t piece, int64_t begin, int64_t end) {
    const Update own = update;
    float parameter = 0.0f, step = 0.0f;
    for (int64_t i = begin; i < end; ++i) {
      own.move_moments(i);
      const float u = own.step(i);
      parameter += own.parameter[i] * own.parameter[i];
      step += u * u;
    }
    squares[2 * piece] = parameter;
    squares[2 * piece + 1] = step;
  });
  double parameter = 0.0, step = 0.0;
  for (int64_t piece = 0; piece < update.pieces(); ++piece) {
    parameter += squares[2 * piece];
    step += squares[2 * piece + 1];
  }
  if (parameter > 0.0 && step > 0.0) update.rate *= static_cast<float>(std::sqrt(parameter / step));
  update.for_pieces([&](int64_t, int64_t begin, int64_t end) {
    const Update own = update;
    for (int64_t i = begin; i < end; ++i) own.parameter[i] -= own.rate * own.step(i);
  });
  return 0;
}
