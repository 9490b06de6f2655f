// Dropout by a hash of the place of each value: see dropout.py.
#pragma once
#include <cstdint>

namespace {
// A hash of 32 bits: _mix of dropout.py; `key` enters in the middle.
inline uint32_t mix(uint32_t x, uint32_t key = 0) {
  x = (x ^ (x >> 16)) * 0x7FEB352Du;
  x ^= key;
  x = (x ^ (x >> 15)) * 0x846CA68Bu;
  return x ^ (x >> 16);
}

// What a Dropout does with value i: it is scaled, or becomes 0.
struct Dropout {
  uint32_t first, second, threshold;
  float scale;

  // dropout_key int32 [2] (seed, step), numbers int32 [2 or more] (stream, threshold of 2^24)
  Dropout(const void *dropout_key, const void *all_numbers) {
    constexpr uint32_t kGolden = 0x9E3779B9u;
    const uint32_t *key = static_cast<const uint32_t *>(dropout_key), *numbers = static_cast<const uint32_t *>(all_numbers);
    first = mix(key[0] ^ mix(key[1] + kGolden * numbers[0]));
    second = mix(first + kGolden);
    threshold = numbers[1];
    scale = static_cast<float>(1.0 / (1.0 - threshold / 16777216.0));
  }

  float apply(int64_t i, float x) const {
    const uint32_t kept = mix(static_cast<uint32_t>(i) + first, second) >> 8;
    return kept >= threshold ? x * scale : 0.0f;
  }
};
}  // namespace
