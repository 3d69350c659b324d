// The kernels, written once against a small vocabulary of vectors `V` (portable.cpp defines its
// words in plain C++) and compiled once for each instruction set.
//
// Everything is a template over `V` or over types made from it, so that no two instruction sets
// share a symbol; for the same reason nothing of the standard library is called.
#pragma once

#include "types.hpp"

#if defined(__GNUC__)
#define HINGED_UNROLL _Pragma("GCC unroll 32")
#define HINGED_INLINE inline __attribute__((always_inline))
#define HINGED_INLINE_LAMBDA __attribute__((always_inline))
#else
#define HINGED_UNROLL
#define HINGED_INLINE __forceinline
#define HINGED_INLINE_LAMBDA
#endif

namespace hinged {

// ---- Tables, by line -------------------------------------------------------------------------

// A table held in vector registers and read by permuting them.
template <class V, int kRegisters>
struct InRegisters {
  typename V::Floats entries[kRegisters];

  HINGED_INLINE explicit InRegisters(const float* table) {
    HINGED_UNROLL
    for (int i = 0; i < kRegisters; ++i) entries[i] = V::load(table + i * V::kLanes);
  }
  HINGED_INLINE typename V::Floats operator[](typename V::Ints index) const {
    return V::template permute<kRegisters>(entries, index);
  }
};

// A table of any length, read by gathering.
template <class V>
struct InMemory {
  const float* table;

  HINGED_INLINE explicit InMemory(const float* entries) : table(entries) {}
  HINGED_INLINE typename V::Floats operator[](typename V::Ints index) const {
    return V::gather(table, index);
  }
};

// ---- The line of an input; NaN is on line 0 --------------------------------------------------

// For lines of nearly equal width: an estimate that is the right line or the next, then one exact
// comparison.
template <class V, class Table>
struct ByArithmetic {
  using Floats = typename V::Floats;
  using Ints = typename V::Ints;
  Table lower;
  Floats scale, offset, last;

  HINGED_INLINE explicit ByArithmetic(const Lines& lines)
      : lower(lines.lower),
        scale(V::all(lines.scale)),
        offset(V::all(lines.offset)),
        last(V::all(static_cast<float>(lines.count - 1))) {}

  HINGED_INLINE Ints operator()(Floats x) const {
    const Floats estimate = V::multiply_add(x, scale, offset);
    const Ints index = V::truncate(V::min(last, V::max(estimate, V::zero())));
    return V::decrement_where(V::less(x, lower[index]), index);
  }
};

// For lines of any widths.
template <class V, class Table>
struct ByHalving {
  using Floats = typename V::Floats;
  using Ints = typename V::Ints;
  Table lower;
  int32_t half = 1;

  HINGED_INLINE explicit ByHalving(const Lines& lines) : lower(lines.lower) {
    while (2 * half < lines.count) half *= 2;
  }

  HINGED_INLINE Ints operator()(Floats x) const {
    Ints index = V::no_index();
    for (int32_t step = half; step > 0; step /= 2) {
      const Ints probe = V::add(index, step);
      index = V::choose(V::less_equal(lower[probe], x), probe, index);
    }
    return index;
  }
};

// ---- Sums by line ----------------------------------------------------------------------------

// Two registers a line: cheapest where the lines are few.
template <class V>
struct SumsInRegisters {
  using Floats = typename V::Floats;
  using Ints = typename V::Ints;
  static constexpr int kLines = V::kLanes / 2;
  Floats totals[2 * kLines];

  HINGED_INLINE explicit SumsInRegisters(const Lines&) {
    HINGED_UNROLL
    for (int i = 0; i < 2 * kLines; ++i) totals[i] = V::zero();
  }
  HINGED_INLINE void add(Ints index, Floats g, Floats distance) {
    const Floats moment = V::multiply(g, distance);
    HINGED_UNROLL
    for (int i = 0; i < kLines; ++i) {
      const auto here = V::equal(index, i);
      totals[i] = V::add_where(here, totals[i], g);
      totals[kLines + i] = V::add_where(here, totals[kLines + i], moment);
    }
  }
  HINGED_INLINE void finish(int32_t count, float* sums) {
    // As many sums as lanes: turned over, adding them up takes one addition a lane.
    V::transpose(totals);
    Floats each = totals[0];
    HINGED_UNROLL
    for (int i = 1; i < 2 * kLines; ++i) each = V::add(each, totals[i]);
    alignas(64) float total[2 * kLines];
    V::store(total, each);
    for (int32_t i = 0; i < count; ++i) {
      sums[i] += total[i];
      sums[count + i] += total[kLines + i];
    }
  }
};

// Pairs of sums in memory: a cost that does not grow with the lines. Neighbouring lanes add to
// copies of their own, so that no addition waits for the one before; what is to be added is first
// put aside for some vectors, so that no load waits for its store.
template <class V>
struct SumsInMemory {
  using Floats = typename V::Floats;
  using Ints = typename V::Ints;
  static constexpr int kCopies = 8;
  static constexpr int kAside = 16;
  alignas(64) float pairs[kMostLines * kCopies * 2];
  alignas(64) float terms[kAside * V::kLanes * 2];
  alignas(64) int32_t lines[kAside * V::kLanes];
  int aside = 0;

  HINGED_INLINE explicit SumsInMemory(const Lines& all) {
    for (int i = 0; i < all.count * kCopies * 2; ++i) pairs[i] = 0.0f;
  }
  HINGED_INLINE void add(Ints index, Floats g, Floats distance) {
    V::store(lines + aside * V::kLanes, index);
    V::store_pairs(terms + aside * V::kLanes * 2, g, V::multiply(g, distance));
    if (++aside == kAside) flush();
  }
  HINGED_INLINE void flush() {
    for (int vector = 0; vector < aside; ++vector) {
      const int32_t* line = lines + vector * V::kLanes;
      const float* term = terms + vector * V::kLanes * 2;
      HINGED_UNROLL
      for (int i = 0; i < V::kLanes; ++i) {
        V::add_pair(pairs + 2 * (line[V::kPairOrder[i]] * kCopies + i % kCopies), term + 2 * i);
      }
    }
    aside = 0;
  }
  HINGED_INLINE void finish(int32_t count, float* sums) {
    flush();
    for (int32_t i = 0; i < count; ++i) {
      for (int copy = 0; copy < kCopies; ++copy) {
        sums[i] += pairs[2 * (i * kCopies + copy)];
        sums[count + i] += pairs[2 * (i * kCopies + copy) + 1];
      }
    }
  }
};

template <class V>
struct NoSums {
  HINGED_INLINE explicit NoSums(const Lines&) {}
  HINGED_INLINE void add(typename V::Ints, typename V::Floats, typename V::Floats) {}
  HINGED_INLINE void finish(int32_t, float*) const {}
};

// ---- Rows of one channel ---------------------------------------------------------------------

template <class V, class T, class Search, class Table>
void forward_loop(const Lines& lines, const T* x, T* y, Rows rows) {
  using Floats = typename V::Floats;
  const Search line_of(lines);
  const Table slope(lines.slope), intercept(lines.intercept);
  const Floats lowest = V::all(lines.lowest), highest = V::all(lines.highest);
  const auto evaluate = [&](Floats input) HINGED_INLINE_LAMBDA {
    const auto index = line_of(input);
    const Floats within = V::max(lowest, V::min(highest, input));
    // Two roundings, as in plain torch: the results are equal to the last bit.
    return V::add(V::multiply(within, slope[index]), intercept[index]);
  };
  for (int64_t row = 0; row < rows.rows; ++row) {
    const int64_t end = row * rows.stride + rows.length;
    int64_t i = row * rows.stride;
    for (; i + V::kLanes <= end; i += V::kLanes) V::store(y + i, evaluate(V::load(x + i)));
    const int rest = static_cast<int>(end - i);
    if (rest > 0) V::store_some(y + i, evaluate(V::load_some(x + i, rest)), rest);
  }
}

template <class V, class T, class Search, class Table, class Sums>
void backward_loop(const Lines& lines, const T* x, const T* grad_y, T* grad_x, float* sums,
                   Rows rows) {
  using Floats = typename V::Floats;
  const Search line_of(lines);
  const Table slope(lines.slope), origin(lines.origin);
  const Floats lowest = V::all(lines.lowest), highest = V::all(lines.highest);
  Sums total(lines);
  const auto gradient = [&](Floats input, Floats g) HINGED_INLINE_LAMBDA {
    const auto index = line_of(input);
    const Floats within = V::max(lowest, V::min(highest, input));
    total.add(index, g, V::subtract(within, origin[index]));
    return V::multiply(g, slope[index]);
  };
  for (int64_t row = 0; row < rows.rows; ++row) {
    const int64_t end = row * rows.stride + rows.length;
    int64_t i = row * rows.stride;
    for (; i + V::kLanes <= end; i += V::kLanes) {
      const Floats result = gradient(V::load(x + i), V::load(grad_y + i));
      if (grad_x != nullptr) V::store(grad_x + i, result);
    }
    const int rest = static_cast<int>(end - i);
    if (rest == 0) continue;
    // What the last vector lacks counts as inputs of gradient 0.
    const Floats result = gradient(V::load_some(x + i, rest), V::load_some(grad_y + i, rest));
    if (grad_x != nullptr) V::store_some(grad_x + i, result, rest);
  }
  total.finish(lines.count, sums);
}

// ---- Choosing the loop that suits the lines --------------------------------------------------

template <class SearchType, class TableType>
struct Choice {
  using Search = SearchType;
  using Table = TableType;
};

template <class V, class Table, class Run>
HINGED_INLINE void with_table(const Lines& lines, Run run) {
  if (lines.scale != 0.0f) {
    run(Choice<ByArithmetic<V, Table>, Table>{});
  } else {
    run(Choice<ByHalving<V, Table>, Table>{});
  }
}

template <class V, class Run>
HINGED_INLINE void with_choice(const Lines& lines, Run run) {
  if constexpr (V::kPermutes) {
    if (lines.count <= V::kLanes) return with_table<V, InRegisters<V, 1>>(lines, run);
    if (lines.count <= 2 * V::kLanes) return with_table<V, InRegisters<V, 2>>(lines, run);
    if (lines.count <= 4 * V::kLanes) return with_table<V, InRegisters<V, 4>>(lines, run);
  }
  with_table<V, InMemory<V>>(lines, run);
}

template <class V, class T>
void forward_in_rows(const Lines& lines, const T* x, T* y, Rows rows) {
  with_choice<V>(lines, [&](auto choice) HINGED_INLINE_LAMBDA {
    using Chosen = decltype(choice);
    forward_loop<V, T, typename Chosen::Search, typename Chosen::Table>(lines, x, y, rows);
  });
}

template <class V, class T>
void backward_in_rows(const Lines& lines, const T* x, const T* grad_y, T* grad_x, float* sums,
                      Rows rows) {
  with_choice<V>(lines, [&](auto choice) HINGED_INLINE_LAMBDA {
    using Search = typename decltype(choice)::Search;
    using Table = typename decltype(choice)::Table;
    if (sums == nullptr) {
      return backward_loop<V, T, Search, Table, NoSums<V>>(lines, x, grad_y, grad_x, sums, rows);
    }
    if constexpr (V::kPermutes) {
      if (lines.count <= SumsInRegisters<V>::kLines) {
        using Sums = SumsInRegisters<V>;
        return backward_loop<V, T, Search, Table, Sums>(lines, x, grad_y, grad_x, sums, rows);
      }
    }
    backward_loop<V, T, Search, Table, SumsInMemory<V>>(lines, x, grad_y, grad_x, sums, rows);
  });
}

// ---- Channels last: tiles are turned over, so that a row is again of one channel ---------------

// As many channels as lanes, and a number of pixels that keeps two tiles in the nearest cache.
template <class V>
struct Tile {
  static constexpr int kPixels = 256;
  // Rows a power of two apart would compete for the same few places of the cache.
  static constexpr int kPitch = kPixels + 16;
  alignas(64) float rows[V::kLanes * kPitch];

  float* row(int64_t channel) { return rows + channel * kPitch; }

  template <class T>
  void take(const T* from, int64_t pixels, int channels, int64_t stride) {
    typename V::Floats block[V::kLanes];
    for (int64_t first = 0; first < pixels; first += V::kLanes) {
      const T* start = from + first * stride;
      const int64_t last = pixels - first - 1;  // beyond the end, the last pixel is read again
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

// Calls `run(channel, channels, pixel, pixels)` for every tile.
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
void forward_in_pixels(const Lines* lines, const T* x, T* y, Pixels all) {
  Tile<V> tile;
  for_each_tile<V>(all, [&](int64_t channel, int channels, int64_t pixel, int64_t pixels) {
    const int64_t start = pixel * all.stride + channel;
    tile.take(x + start, pixels, channels, all.stride);
    for (int c = 0; c < channels; ++c) {
      forward_in_rows<V>(lines[channel + c], tile.row(c), tile.row(c), Rows{1, pixels, 0});
    }
    tile.give(y + start, pixels, channels, all.stride);
  });
}

template <class V, class T>
void backward_in_pixels(const Lines* lines, const T* x, const T* grad_y, T* grad_x, float* sums,
                        Pixels all) {
  Tile<V> inputs, gradients;
  for_each_tile<V>(all, [&](int64_t channel, int channels, int64_t pixel, int64_t pixels) {
    const int64_t start = pixel * all.stride + channel;
    inputs.take(x + start, pixels, channels, all.stride);
    gradients.take(grad_y + start, pixels, channels, all.stride);
    for (int c = 0; c < channels; ++c) {
      const Lines& own = lines[channel + c];
      float* own_sums = sums == nullptr ? nullptr : sums + (channel + c) * 2 * own.count;
      backward_in_rows<V>(own, inputs.row(c), gradients.row(c), gradients.row(c), own_sums,
                          Rows{1, pixels, 0});
    }
    if (grad_x != nullptr) gradients.give(grad_x + start, pixels, channels, all.stride);
  });
}

// ---- The table of functions ------------------------------------------------------------------

template <class V, class T>
constexpr KernelsOf<T> kernels_of() {
  return {forward_in_rows<V, T>, forward_in_pixels<V, T>, backward_in_rows<V, T>,
          backward_in_pixels<V, T>};
}

template <class V>
constexpr Kernels kernels() {
  return {kernels_of<V, float>(), kernels_of<V, BFloat16>()};
}

}  // namespace hinged
