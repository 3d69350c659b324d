// Computes the lines of curves from the values at the hinges. Computes the gradients with respect
// to the values from the sums of backward (see types.hpp).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "types.hpp"

namespace hinged {

enum class Tails : int32_t { kLinear = 0, kConstant = 1, kFree = 2 };

// Values and hinges in the layout of PyTorch: `values` is (channels, hinges), `positions` is
// (hinges) or (channels, hinges), and `tail_slopes` is (channels, 2) or null.
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

// The lines of all channels, one channel after the other or in groups. A linear tail belongs to the
// first or the last piece. Other tails are separate lines.
class CurveTables {
 public:
  // If `by_group` is true and the curves have few lines, the lines are stored in groups. Groups
  // contain all channels `repeats` times, one repetition after the other.
  CurveTables(const Curves& curves, bool by_group, int64_t repeats);

  bool by_group() const { return by_group_; }
  int64_t repeats() const { return repeats_; }
  const Lines& lines(int64_t channel) const { return lines_[static_cast<size_t>(channel)]; }
  const Group* group(int64_t channel) const {
    return &groups_[static_cast<size_t>(channel / kGroup)];
  }
  int32_t count() const { return count_; }

  // Returns the number of sums of one channel in backward (see types.hpp).
  int32_t sums() const { return count_ + 1; }
  // Writes the gradients with respect to the values and the tail slopes of one channel. The sums of
  // the channel are `step` elements apart.
  void gradients(int64_t channel, const double* sums, int64_t step, float* grad_values,
                 float* grad_tail_slopes) const;

 private:
  // The start of each table. The entries of one channel are `step` elements apart.
  struct Place {
    float *slope, *intercept, *lower, *origin, *inverse;
    int64_t step;
  };
  // Returns the starts of tables with `table` entries each. The first table starts at `start`, and
  // the others follow it in memory.
  static Place place(float* start, int64_t table, int64_t step);
  void lay_out_lines();
  void lay_out_groups();
  // Fills the tables of at most `kGroup` neighbouring channels.
  void fill(int64_t first, int64_t channels, const Place& at) const;
  void fill_tails(int64_t channel, int64_t c, const Place& at) const;

  Curves curves_;
  int32_t tails_;  // 1 if the tails are separate lines, otherwise 0
  int32_t count_;
  bool by_group_;
  int64_t repeats_;
  std::unique_ptr<float[]> memory_;
  std::vector<Lines> lines_;
  std::vector<Group> groups_;
};

}  // namespace hinged
