// Implements the functions that tables.hpp declares.
#include "tables.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hinged {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kLargest = std::numeric_limits<float>::max();

// The estimate of a line is raised by twice this number, which is a fraction of a line's width.
// Uneven widths and rounding then cannot make the estimate lower than the true line, or higher than
// the next line.
constexpr float kSlack = 0.125f;

// Returns the largest error of x * scale + offset as a fraction of a line's width, or infinity.
float unevenness(const float* hinges, int64_t count, float scale) {
  float worst = 0.0f;
  for (int64_t k = 0; k < count; ++k) {
    const float off = std::fabs((hinges[k] - hinges[0]) * scale - static_cast<float>(k));
    if (!(off <= worst)) worst = off;  // the condition is also true for NaN
  }
  const float reach = std::max(std::fabs(hinges[0]), std::fabs(hinges[count - 1])) * scale;
  return worst + reach * 4 * std::numeric_limits<float>::epsilon();
}

// Inputs on flat tails are clamped to finite numbers.
float lowest(float slope) { return slope == 0.0f ? -kLargest : -kInfinity; }
float highest(float slope) { return slope == 0.0f ? kLargest : kInfinity; }

// Returns the size of a table for a search by halving, which may read up to the next power of two.
int32_t padded_for_halving(int32_t count) {
  int32_t size = 16;
  while (size < count) size *= 2;
  return size;
}

}  // namespace

CurveTables::CurveTables(const Curves& curves, bool by_group, int64_t repeats)
    : curves_(curves),
      tails_(curves.tails == Tails::kLinear ? 0 : 1),
      count_(static_cast<int32_t>(curves.hinges - 1 + 2 * tails_)),
      by_group_(by_group && count_ <= kMostGroupLines),
      repeats_(by_group_ ? repeats : 1) {
  if (by_group_) {
    lay_out_groups();
  } else {
    lay_out_lines();
  }
}

CurveTables::Place CurveTables::place(float* start, int64_t table, int64_t step) {
  return {start, start + table, start + 2 * table, start + 3 * table, start + 4 * table, step};
}

void CurveTables::lay_out_lines() {
  const int32_t padded = padded_for_halving(count_);
  memory_.reset(new float[static_cast<size_t>(5 * padded * curves_.channels)]);
  lines_.resize(static_cast<size_t>(curves_.channels));
  const int64_t last = curves_.hinges - 1;
  float scale = 0.0f;
  for (int64_t channel = 0; channel < curves_.channels; ++channel) {
    float* slope = memory_.get() + 5 * padded * channel;
    const Place at = place(slope, padded, 1);
    fill(channel, 1, at);
    std::fill(at.lower + count_, at.lower + padded, kNaN);
    const float* hinges = curves_.hinges_of(channel);
    if (channel == 0 || curves_.positions_by_channel) {
      scale = static_cast<float>(last) / (hinges[last] - hinges[0]);
      if (!(unevenness(hinges, curves_.hinges, scale) <= kSlack)) scale = 0.0f;
    }
    const float offset = static_cast<float>(tails_) + 2 * kSlack - hinges[0] * scale;
    lines_[static_cast<size_t>(channel)] = {at.slope,
                                            at.intercept,
                                            at.lower,
                                            at.origin,
                                            at.inverse,
                                            count_,
                                            tails_ > 0,
                                            scale,
                                            offset,
                                            lowest(at.slope[0]),
                                            highest(at.slope[count_ - 1])};
  }
}

void CurveTables::lay_out_groups() {
  const int32_t padded = (count_ + 3) / 4 * 4;
  const int64_t table = padded * kGroup, size = 5 * table + 2 * kGroup;
  const int64_t channels = curves_.channels * repeats_;
  const int64_t groups = (channels + kGroup - 1) / kGroup;
  memory_.reset(new float[static_cast<size_t>(groups * size)]());
  groups_.resize(static_cast<size_t>(groups));
  for (int64_t group = 0; group < groups; ++group) {
    float* start = memory_.get() + group * size;
    float* ends = start + 5 * table;
    const Place at = place(start, table, kGroup);
    std::fill(at.lower + count_ * kGroup, at.lower + table, kNaN);
    fill(group * kGroup, std::min<int64_t>(kGroup, channels - group * kGroup), at);
    groups_[static_cast<size_t>(group)] = {at.slope, at.intercept,  at.lower, at.origin, at.inverse,
                                           ends,     ends + kGroup, count_,   tails_ > 0};
    for (int64_t c = 0; c < kGroup; ++c) {
      ends[c] = lowest(at.slope[c]);
      ends[kGroup + c] = highest(at.slope[(count_ - 1) * kGroup + c]);
    }
  }
}

void CurveTables::fill(int64_t first, int64_t channels, const Place& at) const {
  const int64_t last = curves_.hinges - 1;
  const float *hinges[kGroup], *values[kGroup];
  for (int64_t c = 0; c < channels; ++c) {
    const int64_t channel = (first + c) % curves_.channels;
    hinges[c] = curves_.hinges_of(channel);
    values[c] = curves_.values + channel * curves_.hinges;
  }
  // Hinges and values with an even index are in the first row, those with an odd index in the
  // second row. A piece has one end in each row.
  float ends[2][kGroup], heights[2][kGroup];
  const auto take = [&](int64_t k) {
    for (int64_t c = 0; c < channels; ++c) {
      ends[k % 2][c] = hinges[c][k];
      heights[k % 2][c] = values[c][k];
    }
  };
  take(0);
  // The operations and their rounding are those of `slopes_and_intercepts` in
  // `hinged.curve.evaluate`, so the results have the same bits.
  for (int64_t k = 0; k < last; ++k) {
    take(k + 1);
    const float *left = ends[k % 2], *right = ends[(k + 1) % 2];
    const float *low = heights[k % 2], *high = heights[(k + 1) % 2];
    const int64_t line = (k + tails_) * at.step;
    for (int64_t c = 0; c < channels; ++c) {  // Compilers vectorise this loop.
      const bool rightmost = std::fabs(right[c]) < std::fabs(left[c]);
      const float width = right[c] - left[c], slope = (high[c] - low[c]) / width;
      const float value = rightmost ? high[c] : low[c], hinge = rightmost ? right[c] : left[c];
      at.slope[line + c] = slope;
      at.intercept[line + c] = value - slope * hinge;
      at.lower[line + c] = at.origin[line + c] = left[c];
      at.inverse[line + c] = std::min(1.0f / width, kLargest);
    }
  }
  for (int64_t c = 0; c < channels; ++c) {
    if (tails_ > 0) fill_tails((first + c) % curves_.channels, c, at);
    at.lower[c] = -kInfinity;
  }
}

void CurveTables::fill_tails(int64_t channel, int64_t c, const Place& at) const {
  const int64_t last = curves_.hinges - 1;
  const float* hinges = curves_.hinges_of(channel);
  const float* values = curves_.values + channel * curves_.hinges;
  const float* ends = curves_.tail_slopes + 2 * channel;
  const bool free = curves_.tails == Tails::kFree;
  const int64_t right = (count_ - 1) * at.step + c;
  at.slope[c] = free ? ends[0] : 0.0f;
  at.slope[right] = free ? ends[1] : 0.0f;
  at.intercept[c] = values[0] - at.slope[c] * hinges[0];
  at.intercept[right] = values[last] - at.slope[right] * hinges[last];
  at.origin[c] = hinges[0];
  at.lower[right] = at.origin[right] = hinges[last];
  at.inverse[c] = at.inverse[right] = 0.0f;
}

void CurveTables::gradients(int64_t channel, const double* sums, int64_t step, float* grad_values,
                            float* grad_tail_slopes) const {
  for (int64_t k = 0; k < curves_.hinges; ++k) {
    grad_values[channel * curves_.hinges + k] = static_cast<float>(sums[(k + tails_) * step]);
  }
  if (curves_.tails == Tails::kFree) {
    grad_tail_slopes[2 * channel] = static_cast<float>(sums[0]);
    grad_tail_slopes[2 * channel + 1] = static_cast<float>(sums[count_ * step]);
  }
}

}  // namespace hinged
