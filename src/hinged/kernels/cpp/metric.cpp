// Training steps of curves in their metric: the same numbers as `hinged.curve.metric`, in double
// precision, without matrices. The metric of a channel has five diagonals.
#include "metric.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "macros.hpp"

namespace hinged {
namespace {

float widen(float x) { return x; }
float widen(BFloat16 x) {
  union {
    uint32_t bits;
    float number;
  } both = {static_cast<uint32_t>(x.bits) << 16};
  return both.number;
}

// The number of channels that are computed together. Compilers vectorise the loops over them.
constexpr size_t kLanes = 8;

struct Lanes {
  double of[kLanes];
};

// Calls `f(lane)` for each channel of a group.
template <class F>
HINGED_INLINE void for_lanes(F f) {
  for (size_t lane = 0; lane < kLanes; ++lane) f(lane);
}

// A symmetric matrix with five diagonals for each channel of a group: `main[k]` is at (k, k),
// `first[k]` at (k, k + 1) and `second[k]` at (k, k + 2). Two more rows keep the loops simple.
struct FiveDiagonals {
  explicit FiveDiagonals(size_t count) : main(count + 2), first(count + 2), second(count + 2) {}
  std::vector<Lanes> main, first, second;
};

// Writes one lane of the matrix of the integral of the squared second derivative.
void write_roughness(const float* hinges, size_t count, size_t lane, FiveDiagonals* to) {
  for (size_t k = 0; k < count; ++k) {
    to->main[k].of[lane] = to->first[k].of[lane] = to->second[k].of[lane] = 0.0;
  }
  for (size_t k = 1; k + 1 < count; ++k) {
    const double left = double{hinges[k]} - double{hinges[k - 1]};
    const double right = double{hinges[k + 1]} - double{hinges[k]};
    const double a = 1 / left, b = 1 / right, weight = 2 / (left + right);
    to->main[k - 1].of[lane] += weight * a * a;
    to->main[k].of[lane] += weight * (a + b) * (a + b);
    to->main[k + 1].of[lane] += weight * b * b;
    to->first[k - 1].of[lane] -= weight * a * (a + b);
    to->first[k].of[lane] -= weight * b * (a + b);
    to->second[k - 1].of[lane] += weight * a * b;
  }
}

// Replaces positive definite matrices by their factors L D L^T, and solves the systems of equations
// for `x` in place. `main` becomes 1 / D, and `first` and `second` become the diagonals of L.
void solve(FiveDiagonals* a, size_t count, std::vector<Lanes>* x) {
  for (size_t k = 0; k < count; ++k) {
    for_lanes([&](size_t i) {
      const double inverse = 1 / a->main[k].of[i];
      const double first = a->first[k].of[i], second = a->second[k].of[i], y = (*x)[k].of[i];
      const double l1 = first * inverse, l2 = second * inverse;
      a->main[k].of[i] = inverse;
      a->first[k].of[i] = l1;
      a->second[k].of[i] = l2;
      a->main[k + 1].of[i] -= first * l1;
      a->first[k + 1].of[i] -= second * l1;
      a->main[k + 2].of[i] -= second * l2;
      (*x)[k + 1].of[i] -= l1 * y;
      (*x)[k + 2].of[i] -= l2 * y;
    });
  }
  for_lanes([&](size_t i) { (*x)[count].of[i] = (*x)[count + 1].of[i] = 0.0; });
  for (size_t k = count; k-- > 0;) {
    for_lanes([&](size_t i) {
      (*x)[k].of[i] = (*x)[k].of[i] * a->main[k].of[i] - a->first[k].of[i] * (*x)[k + 1].of[i] -
                      a->second[k].of[i] * (*x)[k + 2].of[i];
    });
  }
}

// Returns the scale of the inputs of a layer: their standard deviation, or an eighth of the range
// of the hinges if that is larger.
double input_scale(const MetricStep& step) {
  const int64_t width = 2 * step.hinges + 1;
  double variance = 0.0, range = 0.0;
  for (int64_t c = 0; c < step.channels; ++c) {
    const float* end = step.moments + (c + 1) * width;
    const double mean = end[-2];
    variance += std::max(double{end[-1]} - mean * mean, 0.0);
    const float* hinges = step.positions + (step.positions_by_channel ? c * step.hinges : 0);
    range += double{hinges[step.hinges - 1]} - double{hinges[0]};
  }
  const double channels = static_cast<double>(step.channels);
  return std::max(std::sqrt(variance / channels), range / channels / 8);
}

// Moves the values of one channel. `solution[k].of[lane]` is the direction of steepest descent.
void move(const MetricStep& step, int64_t channel, double scale, size_t lane,
          const std::vector<Lanes>& solution) {
  const size_t count = static_cast<size_t>(step.hinges);
  const float* grad = step.grad + channel * step.hinges;
  const float* start = step.start + channel * step.hinges;
  float* direction = step.direction + channel * step.hinges;
  float* values = step.values + channel * step.hinges;
  float* size = step.size + channel;
  double length = 0.0;
  for (size_t k = 0; k < count; ++k) length += grad[k] * solution[k].of[lane];
  *size = static_cast<float>(step.keep_size * *size + (1 - step.keep_size) * length);
  const double mean = *size / step.size_correction;
  float* largest = step.largest + channel;
  const float found = static_cast<float>(mean);
  if (std::isfinite(found) && found > *largest) *largest = found;
  const double pull = *largest > 0 ? step.pull * std::min(mean / *largest, 1.0) : step.pull;
  const double root = std::sqrt(mean);
  const double factor = root > 0 ? step.rate * scale / (root * step.direction_correction) : 0.0;
  for (size_t k = 0; k < count; ++k) {
    direction[k] = static_cast<float>(step.keep_direction * direction[k] +
                                      (1 - step.keep_direction) * solution[k].of[lane]);
    const double pulled = values[k] + pull * (double{start[k]} - values[k]);
    values[k] = static_cast<float>(pulled - factor * direction[k]);
  }
}

// The pieces between the hinges of a curve, with numbers that are computed once for many inputs.
class Pieces {
 public:
  Pieces(const float* hinges, int64_t count)
      : hinges_(hinges),
        last_(count - 2),
        scale_(static_cast<double>(count - 1) / (double{hinges[count - 1]} - hinges[0])),
        inverse_widths_(static_cast<size_t>(count - 1)) {
    for (int64_t k = 0; k < count; ++k) {
      uniform_ = uniform_ && std::fabs((double{hinges[k]} - hinges[0]) * scale_ -
                                       static_cast<double>(k)) < 1e-3;
    }
    for (int64_t k = 0; k + 1 < count; ++k) {
      inverse_widths_[static_cast<size_t>(k)] = 1 / (double{hinges[k + 1]} - hinges[k]);
    }
  }
  // Returns the number of the hinge left of an input. Equally spaced hinges need no search.
  int64_t left_of(double x) const {
    if (uniform_) {
      const double place = (x - hinges_[0]) * scale_;
      return static_cast<int64_t>(std::min(std::max(place, 0.0), static_cast<double>(last_)));
    }
    return std::upper_bound(hinges_ + 1, hinges_ + last_ + 1, x) - hinges_ - 1;
  }
  // Returns the place of an input in a piece: 0 at its left end, 1 at its right end.
  double place(double x, int64_t piece) const {
    return (x - hinges_[piece]) * inverse_widths_[static_cast<size_t>(piece)];
  }

 private:
  const float* hinges_;
  int64_t last_;
  double scale_;
  std::vector<double> inverse_widths_;
  bool uniform_ = true;
};

}  // namespace

void take_step(const MetricStep& step) {
  const size_t count = static_cast<size_t>(step.hinges);
  const double scale = input_scale(step);
  const double stiffness = step.smoothing * scale * scale * scale;
  FiveDiagonals roughness(count), matrix(count);
  std::vector<Lanes> solution(count + 2);
  for (int64_t c = 0; c < step.channels; c += kLanes) {
    const size_t lanes = static_cast<size_t>(std::min<int64_t>(kLanes, step.channels - c));
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const int64_t channel = c + static_cast<int64_t>(std::min(lane, lanes - 1));
      const float* moments = step.moments + channel * (2 * step.hinges + 1);
      if (c == 0 || step.positions_by_channel) {
        const int64_t row = step.positions_by_channel ? channel : 0;
        write_roughness(step.positions + row * step.hinges, count, lane, &roughness);
      }
      for (size_t k = 0; k < count; ++k) {
        matrix.main[k].of[lane] = moments[k] + step.floor;
        matrix.first[k].of[lane] = k + 1 < count ? moments[count + k] : 0.0f;
        solution[k].of[lane] = step.grad[channel * step.hinges + static_cast<int64_t>(k)];
      }
    }
    for (size_t k = 0; k < count; ++k) {
      for_lanes([&](size_t i) {
        matrix.main[k].of[i] += stiffness * roughness.main[k].of[i];
        matrix.first[k].of[i] += stiffness * roughness.first[k].of[i];
        matrix.second[k].of[i] = stiffness * roughness.second[k].of[i];
      });
    }
    solve(&matrix, count, &solution);
    for (size_t lane = 0; lane < lanes; ++lane) {
      move(step, c + static_cast<int64_t>(lane), scale, lane, solution);
    }
  }
}

void update_moments(const MomentsUpdate& update) {
  const int64_t numbers = update.channels * update.width;
  if (!std::all_of(update.moments, update.moments + numbers,
                   [](float number) { return std::isfinite(number); })) {
    return;
  }
  for (int64_t c = 0; c < update.channels; ++c) {
    const float* moments = update.moments + c * update.width;
    float* mean = update.mean + c * update.width;
    const auto positive = [](float number) { return number > 0.0f; };
    if (!std::any_of(moments, moments + update.width - 2, positive)) continue;
    for (int64_t k = 0; k < update.width; ++k) {
      const double distance = double{moments[k]} - double{mean[k]};
      mean[k] = static_cast<float>(mean[k] + update.weight * distance);
    }
  }
}

template <class T>
void add_moments(const InputMoments& call) {
  const T* x = static_cast<const T*>(call.x);
  const int64_t count = call.hinges, by_row = call.channels * call.inner;
  const int64_t rows = call.step / call.inner, columns = call.step % call.inner;
  std::vector<double> sums(static_cast<size_t>(2 * count + 1));
  const int64_t different = call.positions_by_channel ? call.channels : 1;
  std::vector<Pieces> pieces;
  pieces.reserve(static_cast<size_t>(different));
  for (int64_t c = 0; c < different; ++c) pieces.emplace_back(call.positions + c * count, count);
  for (int64_t c = 0; c < call.channels; ++c) {
    const Pieces& own = pieces[static_cast<size_t>(c % different)];
    std::fill(sums.begin(), sums.end(), 0.0);
    double* const squares = sums.data();
    double* const products = squares + count;
    double mean = 0.0, square = 0.0;
    int64_t samples = 0, row = 0, column = 0;
    while (row < call.outer) {
      const double input = widen(x[row * by_row + c * call.inner + column]);
      if (std::isfinite(input)) {
        const int64_t k = own.left_of(input);
        const double place = own.place(input, k);
        const double t = call.linear_tails ? place : std::min(std::max(place, 0.0), 1.0);
        const double u = 1 - t;
        squares[k] += u * u;
        squares[k + 1] += t * t;
        products[k] += u * t;
        mean += input;
        square += input * input;
        ++samples;
      }
      row += rows;
      column += columns;
      if (column >= call.inner) {
        ++row;
        column -= call.inner;
      }
    }
    sums[static_cast<size_t>(2 * count - 1)] = mean;
    sums[static_cast<size_t>(2 * count)] = square;
    float* moments = call.moments + c * (2 * count + 1);
    const double all = static_cast<double>(std::max<int64_t>(samples, 1));
    for (int64_t k = 0; k < 2 * count + 1; ++k) {
      moments[k] = static_cast<float>(sums[static_cast<size_t>(k)] / all);
    }
  }
}

template void add_moments<float>(const InputMoments& call);
template void add_moments<BFloat16>(const InputMoments& call);

}  // namespace hinged
