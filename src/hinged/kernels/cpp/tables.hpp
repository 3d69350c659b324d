// Computes lines from values at hinges, and gradients of the values from sums by line.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "types.hpp"

namespace hinged {

enum class Tails : int32_t { kLinear = 0, kConstant = 1, kFree = 2 };

// Values and hinges as PyTorch stores them: `values` is (channels, hinges), the positions are
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

// The lines of all channels, one channel after the other or in groups. A linear tail is part of the
// end piece. Other tails are separate lines.
class CurveTables {
 public:
  // `by_group` asks for groups, which are used for curves with few lines only. `repeats` is how
  // many times all curves are repeated in turn, which is done in groups only.
  CurveTables(const Curves& curves, bool by_group, int64_t repeats);

  bool by_group() const { return by_group_; }
  int64_t repeats() const { return repeats_; }
  const Lines& lines(int64_t channel) const { return lines_[static_cast<size_t>(channel)]; }
  const Group* group(int64_t channel) const {
    return &groups_[static_cast<size_t>(channel / kGroup)];
  }
  int32_t count() const { return count_; }

  // The number of sums of one channel in backward; see types.hpp.
  int32_t sums() const { return count_ + 1; }
  // Writes the gradients of one channel, given its sums, which are `step` apart.
  void gradients(int64_t channel, const double* sums, int64_t step, float* grad_values,
                 float* grad_tail_slopes) const;

 private:
  // The start of each table; the entries of one channel are `step` apart.
  struct Place {
    float *slope, *intercept, *lower, *origin, *inverse;
    int64_t step;
  };
  // Returns tables of `table` entries each, one after the other.
  static Place place(float* start, int64_t table, int64_t step);
  void lay_out_lines();
  void lay_out_groups();
  // Fills the tables of at most `kGroup` neighbouring channels.
  void fill(int64_t first, int64_t channels, const Place& at) const;
  void fill_tails(int64_t channel, int64_t c, const Place& at) const;

  Curves curves_;
  int32_t tails_;  // 1 if the tails are separate lines, else 0
  int32_t count_;
  bool by_group_;
  int64_t repeats_;
  std::unique_ptr<float[]> memory_;
  std::vector<Lines> lines_;
  std::vector<Group> groups_;
};

}  // namespace hinged
