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

// The lines of all channels, either one after the other or in groups. A linear tail belongs to the
// end piece, the others are lines of their own.
class CurveTables {
 public:
  // `by_group` wishes for groups, which only curves of few lines have, and `repeats` for all curves
  // so many times in turn, which only groups do.
  CurveTables(const Curves& curves, bool by_group, int64_t repeats);

  bool by_group() const { return by_group_; }
  int64_t repeats() const { return repeats_; }
  const Lines& lines(int64_t channel) const { return lines_[static_cast<size_t>(channel)]; }
  const Group* group(int64_t channel) const {
    return &groups_[static_cast<size_t>(channel / kGroup)];
  }
  int32_t count() const { return count_; }

  // The sums that the backward takes of one channel; see types.hpp.
  int32_t sums() const { return count_ + 1; }
  // Writes the gradients of one channel, from its sums, which lie `step` apart.
  void gradients(int64_t channel, const double* sums, int64_t step, float* grad_values,
                 float* grad_tail_slopes) const;

 private:
  // Where tables begin; the entries of one channel lie `step` apart.
  struct Place {
    float *slope, *intercept, *lower, *origin, *inverse;
    int64_t step;
  };
  // Tables of so many entries, one behind the other.
  static Place place(float* start, int64_t table, int64_t step);
  void lay_out_lines();
  void lay_out_groups();
  // Fill the tables of neighbouring channels, at most `kGroup`, which lie side by side.
  void fill(int64_t first, int64_t channels, const Place& at) const;
  void fill_tails(int64_t channel, int64_t c, const Place& at) const;

  Curves curves_;
  int32_t tails_;  // 1 where tails are lines of their own
  int32_t count_;
  bool by_group_;
  int64_t repeats_;
  std::unique_ptr<float[]> memory_;
  std::vector<Lines> lines_;
  std::vector<Group> groups_;
};

}  // namespace hinged
