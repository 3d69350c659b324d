// See tables.hpp.
#include "tables.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hinged {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kLargest = std::numeric_limits<float>::max();

// The estimate of the line is raised by twice this, in widths of a line, so that what makes the
// lines uneven and what is rounded cannot put it below the true line, nor above the next.
constexpr float kSlack = 0.125f;

// How much x * scale + offset may be off, in widths of a line, or infinity.
float unevenness(const float* hinges, int64_t count, float scale) {
  float worst = 0.0f;
  for (int64_t k = 0; k < count; ++k) {
    const float off = std::fabs((hinges[k] - hinges[0]) * scale - static_cast<float>(k));
    if (!(off <= worst)) worst = off;  // NaN is taken over as well
  }
  const float reach = std::max(std::fabs(hinges[0]), std::fabs(hinges[count - 1])) * scale;
  return worst + reach * 4 * std::numeric_limits<float>::epsilon();
}

// Searching by halving may probe up to the next power of two.
int32_t padded(int32_t count) {
  int32_t size = 16;
  while (size < count) size *= 2;
  return size;
}

}  // namespace

CurveTables::CurveTables(const Curves& curves)
    : curves_(curves),
      tails_(curves.tails == Tails::kLinear ? 0 : 1),
      count_(static_cast<int32_t>(curves.hinges - 1 + 2 * tails_)),
      padded_(padded(count_)),
      memory_(new float[static_cast<size_t>(4 * padded_ * curves.channels)]),
      lines_(static_cast<size_t>(curves.channels)) {
  for (int64_t channel = 0; channel < curves.channels; ++channel) fill(channel);
}

void CurveTables::fill(int64_t channel) {
  const int64_t last = curves_.hinges - 1;
  const float* hinges = curves_.hinges_of(channel);
  const float* values = curves_.values + channel * curves_.hinges;
  float* slope = memory_.get() + 4 * padded_ * channel;
  float* intercept = slope + padded_;
  float* lower = intercept + padded_;
  float* origin = lower + padded_;
  // Each operation is rounded as in `hinged.curve.evaluate.lines`, for equal bits.
  for (int64_t k = 0; k < last; ++k) {
    const int64_t line = k + tails_;
    const int64_t nearer = std::fabs(hinges[k + 1]) < std::fabs(hinges[k]) ? k + 1 : k;
    slope[line] = (values[k + 1] - values[k]) / (hinges[k + 1] - hinges[k]);
    intercept[line] = values[nearer] - slope[line] * hinges[nearer];
    lower[line] = origin[line] = hinges[k];
  }
  if (tails_ > 0) {
    const float* ends = curves_.tail_slopes + 2 * channel;
    const bool free = curves_.tails == Tails::kFree;
    slope[0] = free ? ends[0] : 0.0f;
    slope[count_ - 1] = free ? ends[1] : 0.0f;
    intercept[0] = values[0] - slope[0] * hinges[0];
    intercept[count_ - 1] = values[last] - slope[count_ - 1] * hinges[last];
    origin[0] = hinges[0];
    lower[count_ - 1] = origin[count_ - 1] = hinges[last];
  }
  lower[0] = -kInfinity;
  std::fill(lower + count_, lower + padded_, kNaN);

  if (channel == 0 || curves_.positions_by_channel) {
    scale_ = static_cast<float>(last) / (hinges[last] - hinges[0]);
    if (!(unevenness(hinges, curves_.hinges, scale_) <= kSlack)) scale_ = 0.0f;
  }
  lines_[static_cast<size_t>(channel)] = {
      slope,
      intercept,
      lower,
      origin,
      count_,
      scale_,
      static_cast<float>(tails_) + 2 * kSlack - hinges[0] * scale_,
      slope[0] == 0.0f ? -kLargest : -kInfinity,
      slope[count_ - 1] == 0.0f ? kLargest : kInfinity,
  };
}

void CurveTables::gradients(int64_t channel, const double* sums, float* grad_values,
                            float* grad_tail_slopes) const {
  const int64_t last = curves_.hinges - 1;
  const float* hinges = curves_.hinges_of(channel);
  const double *plain = sums, *measured = sums + count_;
  grad_values += channel * curves_.hinges;
  std::fill(grad_values, grad_values + curves_.hinges, 0.0f);
  // With t = (x - h[k]) / (h[k+1] - h[k]): g (1 - t) to the left value, g t to the right one.
  for (int64_t k = 0; k < last; ++k) {
    const int64_t line = k + tails_;
    const double right = measured[line] / (hinges[k + 1] - hinges[k]);
    grad_values[k] = static_cast<float>(grad_values[k] + (plain[line] - right));
    grad_values[k + 1] = static_cast<float>(right);
  }
  if (tails_ == 0) return;
  grad_values[0] = static_cast<float>(grad_values[0] + plain[0]);
  grad_values[last] = static_cast<float>(grad_values[last] + plain[count_ - 1]);
  if (curves_.tails == Tails::kFree) {
    grad_tail_slopes[2 * channel] = static_cast<float>(measured[0]);
    grad_tail_slopes[2 * channel + 1] = static_cast<float>(measured[count_ - 1]);
  }
}

}  // namespace hinged
