// Kernels for channels that are neighbours in memory, and for curves with few lines. Each lane of a
// vector contains the curve of one channel, and compares its input with all hinges.
#pragma once

#include "macros.hpp"
#include "types.hpp"

namespace hinged {

// The number of pixels in a block. A block is processed with the curves of one vector before the
// curves of the next vector are loaded. With short blocks, memory is read almost in order, and the
// next block is prefetched. With 64 channels and tensors larger than the caches, forward with
// blocks of 32 pixels takes twice as long. Backward loads more numbers for each block, so its
// blocks are longer.
constexpr int64_t kForwardBlock = 8, kBackwardBlock = 16;

// The lines of the channels that one vector contains.
template <class V, int kLines>
struct Lanes {
  using Floats = typename V::Floats;
  Floats slope[kLines], lower[kLines], other[kLines];
  Floats lowest, highest;

  // `other` holds the intercepts in forward and the origins in backward.
  HINGED_INLINE Lanes(const Group& group, const float* others, int lane)
      : lowest(V::load(group.lowest + lane)), highest(V::load(group.highest + lane)) {
    HINGED_UNROLL
    for (int k = 0; k < kLines; ++k) {
      slope[k] = V::load(group.slope + k * kGroup + lane);
      lower[k] = V::load(group.lower + k * kGroup + lane);
      other[k] = V::load(others + k * kGroup + lane);
    }
  }
  HINGED_INLINE Floats within(Floats x) const { return V::max(lowest, V::min(highest, x)); }
};

template <class V, class T>
HINGED_INLINE typename V::Floats load_lanes(const T* from, int lanes) {
  return lanes == V::kLanes ? V::load(from) : V::load_some(from, lanes);
}

template <class V, class T>
HINGED_INLINE void store_lanes(T* to, typename V::Floats x, int lanes) {
  if (lanes == V::kLanes) return V::store(to, x);
  V::store_some(to, x, lanes);
}

template <class V, int kLines, class T>
void forward_lanes(const Group& group, int lane, int lanes, const T* x, T* y, int64_t pixels,
                   int64_t stride) {
  using Floats = typename V::Floats;
  const Lanes<V, kLines> own(group, group.intercept, lane);
  for (int64_t pixel = 0; pixel < pixels; ++pixel) {
    const Floats input = load_lanes<V>(x + pixel * stride, lanes);
    HINGED_PREFETCH(x + (pixel + kForwardBlock) * stride);
    Floats slope = own.slope[0], intercept = own.other[0];
    HINGED_UNROLL
    for (int k = 1; k < kLines; ++k) {
      const auto reached = V::less_equal(own.lower[k], input);
      slope = V::choose(reached, own.slope[k], slope);
      intercept = V::choose(reached, own.other[k], intercept);
    }
    const Floats product = V::multiply(own.within(input), slope);
    store_lanes<V>(y + pixel * stride, V::add(product, intercept), lanes);
  }
}

// `sums` points to the sums of the channel in lane `lane` of the group, or is null.
template <class V, int kLines, bool kSums, class T>
void backward_lanes(const Group& group, int lane, int lanes, const T* x, const T* grad_y, T* grad_x,
                    float* sums, int64_t pixels, int64_t stride) {
  using Floats = typename V::Floats;
  const Lanes<V, kLines> own(group, group.origin, lane);
  Floats plain[kLines], measured[kLines];
  HINGED_UNROLL
  for (int k = 0; k < kLines; ++k) plain[k] = measured[k] = V::zero();
  for (int64_t pixel = 0; pixel < pixels; ++pixel) {
    const Floats input = load_lanes<V>(x + pixel * stride, lanes);
    const Floats g = load_lanes<V>(grad_y + pixel * stride, lanes);
    HINGED_PREFETCH(x + (pixel + kBackwardBlock) * stride);
    HINGED_PREFETCH(grad_y + (pixel + kBackwardBlock) * stride);
    typename V::Mask reached[kLines];
    Floats slope = own.slope[0], origin = own.other[0];
    HINGED_UNROLL
    for (int k = 1; k < kLines; ++k) {
      reached[k] = V::less_equal(own.lower[k], input);
      slope = V::choose(reached[k], own.slope[k], slope);
      if constexpr (kSums) origin = V::choose(reached[k], own.other[k], origin);
    }
    if constexpr (kSums) {
      const Floats moment = V::multiply(g, V::subtract(own.within(input), origin));
      HINGED_UNROLL
      for (int k = 0; k < kLines; ++k) {
        const auto here = k == 0           ? V::without(V::always(), reached[1])
                          : k < kLines - 1 ? V::without(reached[k], reached[k + 1])
                                           : reached[k];
        plain[k] = V::add_where(here, plain[k], g);
        measured[k] = V::add_where(here, measured[k], moment);
      }
    }
    if (grad_x != nullptr) store_lanes<V>(grad_x + pixel * stride, V::multiply(g, slope), lanes);
  }
  if constexpr (kSums) {
    const auto add = [&](int sum, Floats more) HINGED_INLINE_LAMBDA {
      float* const to = sums + sum * kGroup;
      V::store(to, V::add(V::load(to), more));
    };
    // The part of the previous line in the sum that it shares with line k. A variable saves a store
    // and a load.
    Floats carried = V::zero();
    for (int k = 0; k < kLines && k < group.count; ++k) {
      const bool first = k == 0, last = k == group.count - 1;
      Floats right = V::multiply(measured[k], V::load(group.inverse + k * kGroup + lane));
      Floats left = V::subtract(plain[k], right);
      if (group.tails && (first || last)) {
        left = first ? measured[k] : plain[k];
        right = first ? plain[k] : measured[k];
      }
      add(k, V::add(carried, left));
      carried = right;
    }
    add(group.count, carried);
  }
}

// Calls `run(group, channel, lane, lanes, pixel, pixels)` for each vector of channels in each block
// of pixels. `channel` and `pixel` are the first ones, `lanes` and `pixels` are their numbers.
template <class V, int64_t kBlock, class Run>
HINGED_INLINE void for_each_vector(const Pixels& all, Run run) {
  for (int64_t pixel = 0; pixel < all.pixels; pixel += kBlock) {
    const int64_t rest = all.pixels - pixel;
    for (int64_t channel = 0; channel < all.channels; channel += V::kLanes) {
      const int64_t left = all.channels - channel;
      run(channel / kGroup, channel, static_cast<int>(channel % kGroup),
          static_cast<int>(left < V::kLanes ? left : V::kLanes), pixel,
          rest < kBlock ? rest : kBlock);
    }
  }
}

template <class V, int kLines, class T>
void forward_groups_of(const Group* groups, const T* x, T* y, Pixels all) {
  for_each_vector<V, kForwardBlock>(all, [&](int64_t group, int64_t channel, int lane, int lanes,
                                             int64_t pixel, int64_t pixels) {
    const int64_t start = pixel * all.stride + channel;
    forward_lanes<V, kLines>(groups[group], lane, lanes, x + start, y + start, pixels, all.stride);
  });
}

template <class V, int kLines, class T>
void backward_groups_of(const Group* groups, const T* x, const T* grad_y, T* grad_x, float* sums,
                        Pixels all) {
  for_each_vector<V, kBackwardBlock>(
      all, [&](int64_t group, int64_t channel, int lane, int lanes, int64_t pixel, int64_t pixels) {
        const int64_t start = pixel * all.stride + channel;
        T* const to = grad_x == nullptr ? nullptr : grad_x + start;
        if (sums == nullptr) {
          return backward_lanes<V, kLines, false>(groups[group], lane, lanes, x + start,
                                                  grad_y + start, to, sums, pixels, all.stride);
        }
        float* const own = sums + group * (groups[group].count + 1) * kGroup + lane;
        backward_lanes<V, kLines, true>(groups[group], lane, lanes, x + start, grad_y + start, to,
                                        own, pixels, all.stride);
      });
}

// The number of lines is rounded up to a constant. The lines of the padding are never selected,
// because their left end is NaN.
template <class V, class T>
void forward_in_groups(const Group* groups, const T* x, T* y, Pixels all) {
  if (groups->count <= 4) return forward_groups_of<V, 4>(groups, x, y, all);
  if (groups->count <= 8) return forward_groups_of<V, 8>(groups, x, y, all);
  if (groups->count <= 12) return forward_groups_of<V, 12>(groups, x, y, all);
  forward_groups_of<V, kMostGroupLines>(groups, x, y, all);
}

template <class V, class T>
void backward_in_groups(const Group* groups, const T* x, const T* grad_y, T* grad_x, float* sums,
                        Pixels all) {
  if (groups->count <= 4) return backward_groups_of<V, 4>(groups, x, grad_y, grad_x, sums, all);
  if (groups->count <= 8) return backward_groups_of<V, 8>(groups, x, grad_y, grad_x, sums, all);
  if (groups->count <= 12) return backward_groups_of<V, 12>(groups, x, grad_y, grad_x, sums, all);
  backward_groups_of<V, kMostGroupLines>(groups, x, grad_y, grad_x, sums, all);
}

}  // namespace hinged
