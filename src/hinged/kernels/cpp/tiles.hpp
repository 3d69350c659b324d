// Kernels for channels that are neighbours in memory, and for curves with many lines. Tiles are
// transposed in registers, so that each row of a tile contains one channel.
#pragma once

#include "rows.hpp"

namespace hinged {

// A tile has one channel for each lane of a vector. Two tiles fit in the first-level cache.
template <class V>
struct Tile {
  static constexpr int kPixels = 256;
  // If the distance between rows were a power of two, they would compete for the same cache lines.
  static constexpr int kPitch = kPixels + 16;
  alignas(64) float rows[V::kLanes * kPitch];

  float* row(int64_t channel) { return rows + channel * kPitch; }

  template <class T>
  void take(const T* from, int64_t pixels, int channels, int64_t stride) {
    typename V::Floats block[V::kLanes];
    for (int64_t first = 0; first < pixels; first += V::kLanes) {
      const T* start = from + first * stride;
      const int64_t last = pixels - first - 1;  // the last pixel is repeated beyond the end
      HINGED_UNROLL
      for (int i = 0; i < V::kLanes; ++i) {
        const T* pixel = start + (i < last ? i : last) * stride;
        block[i] = channels == V::kLanes ? V::load(pixel) : V::load_some(pixel, channels);
      }
      V::transpose(block);
      HINGED_UNROLL
      for (int i = 0; i < V::kLanes; ++i) V::store(row(i) + first, block[i]);
    }
  }

  template <class T>
  void give(T* to, int64_t pixels, int channels, int64_t stride) {
    typename V::Floats block[V::kLanes];
    for (int64_t first = 0; first < pixels; first += V::kLanes) {
      HINGED_UNROLL
      for (int i = 0; i < V::kLanes; ++i) block[i] = V::load(row(i) + first);
      V::transpose(block);
      T* start = to + first * stride;
      const int64_t left = pixels - first;
      HINGED_UNROLL
      for (int i = 0; i < V::kLanes; ++i) {
        if (i >= left) break;
        if (channels == V::kLanes) {
          V::store(start + i * stride, block[i]);
        } else {
          V::store_some(start + i * stride, block[i], channels);
        }
      }
    }
  }
};

// Calls `run(channel, channels, pixel, pixels)` for each tile. `channel` and `pixel` are the first
// ones of the tile, `channels` and `pixels` are their numbers.
template <class V, class Run>
HINGED_INLINE void for_each_tile(const Pixels& all, Run run) {
  for (int64_t pixel = 0; pixel < all.pixels; pixel += Tile<V>::kPixels) {
    const int64_t rest = all.pixels - pixel;
    const int64_t pixels = rest < Tile<V>::kPixels ? rest : Tile<V>::kPixels;
    for (int64_t channel = 0; channel < all.channels; channel += V::kLanes) {
      const int64_t left = all.channels - channel;
      run(channel, static_cast<int>(left < V::kLanes ? left : V::kLanes), pixel, pixels);
    }
  }
}

template <class V, class T>
void forward_in_tiles(const Lines* lines, const T* x, T* y, Pixels all) {
  Tile<V> tile;
  for_each_tile<V>(all, [&](int64_t channel, int channels, int64_t pixel, int64_t pixels) {
    const int64_t start = pixel * all.stride + channel;
    tile.take(x + start, pixels, channels, all.stride);
    for (int c = 0; c < channels; ++c) {
      forward_in_rows<V>(lines + channel + c, tile.row(c), tile.row(c), Rows{1, 1, pixels, 0, 0});
    }
    tile.give(y + start, pixels, channels, all.stride);
  });
}

template <class V, class T>
void backward_in_tiles(const Lines* lines, const T* x, const T* grad_y, T* grad_x, float* sums,
                       Pixels all) {
  Tile<V> inputs, gradients;
  for_each_tile<V>(all, [&](int64_t channel, int channels, int64_t pixel, int64_t pixels) {
    const int64_t start = pixel * all.stride + channel;
    inputs.take(x + start, pixels, channels, all.stride);
    gradients.take(grad_y + start, pixels, channels, all.stride);
    for (int c = 0; c < channels; ++c) {
      const Lines* own = lines + channel + c;
      float* own_sums = sums == nullptr ? nullptr : sums + (channel + c) * (own->count + 1);
      backward_in_rows<V>(own, inputs.row(c), gradients.row(c), gradients.row(c), own_sums,
                          Rows{1, 1, pixels, 0, 0});
    }
    if (grad_x != nullptr) gradients.give(grad_x + start, pixels, channels, all.stride);
  });
}

}  // namespace hinged
