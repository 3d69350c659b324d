// From values at hinges to lines, and from sums by line back to gradients of the values.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "types.hpp"

namespace hinged {

enum class Tails : int32_t { kLinear = 0, kConstant = 1, kFree = 2 };

// Values and hinges as PyTorch holds them: `values` is (channels, hinges), the positions are
// (hinges) or (channels, hinges), `tail_slopes` is (channels, 2) or null.
struct Curves {
  const float* values;
  const float* positions;
  const float* tail_slopes;
  int64_t channels;
  int64_t hinges;
  bool positions_by_channel;
  Tails tails;

  const float* hinges_of(int64_t channel) const {
    return positions + (positions_by_channel ? channel * hinges : 0);
  }
};

// The lines of all channels. A linear tail belongs to the end piece, the others are lines of their
// own.
class CurveTables {
 public:
  explicit CurveTables(const Curves& curves);

  const Lines& operator[](int64_t channel) const { return lines_[static_cast<size_t>(channel)]; }
  int32_t count() const { return count_; }

  // Writes the gradients of one channel, from `2 * count()` sums.
  void gradients(int64_t channel, const double* sums, float* grad_values,
                 float* grad_tail_slopes) const;

 private:
  void fill(int64_t channel);

  Curves curves_;
  int32_t tails_;  // 1 where tails are lines of their own
  int32_t count_;
  int32_t padded_;
  float scale_ = 0.0f;  // of the channel filled last
  std::unique_ptr<float[]> memory_;
  std::vector<Lines> lines_;
};

}  // namespace hinged
