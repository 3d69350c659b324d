// Training steps of curves in their metric, and the moments of inputs that define the metric. See
// `hinged.curve.metric` for the formulas.
#pragma once

#include <cstdint>

#include "types.hpp"

namespace hinged {

// The arguments of a step, which metric_kernel.py packs. All arrays have one row for each channel:
// `values`, `direction`, `grad` and `start` have a number for each hinge, `moments` has 2 hinges +
// 1 numbers, and `size` and `largest` have one number.
struct MetricStep {
  // These arguments are the same in all steps.
  float* direction;
  float* size;
  float* largest;
  const float* start;
  const float* moments;
  const float* positions;
  int64_t channels, hinges, positions_by_channel;
  double floor;
  // These arguments change.
  float* values;
  const float* grad;
  double rate, pull, smoothing, keep_direction, keep_size, direction_correction, size_correction;
};

// The arguments of `add_moments`. `x` has the layout (outer, channels, inner). Every `step`-th of
// the outer * inner inputs of a channel is used.
struct InputMoments {
  const void* x;
  const float* positions;
  float* moments;
  int64_t outer, channels, inner, hinges, positions_by_channel, step;
  int32_t number, linear_tails;
};

// The arguments of `update_moments`. The arrays have `channels` rows of `width` numbers.
struct MomentsUpdate {
  float* mean;
  const float* moments;
  int64_t channels, width;
  double weight;
};

void update_moments(const MomentsUpdate& update);

void take_step(const MetricStep& step);

template <class T>
void add_moments(const InputMoments& call);

}  // namespace hinged
