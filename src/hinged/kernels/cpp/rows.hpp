// Kernels for rows of one channel. All lanes of a vector use the same curve, and look up its lines
// by index.
#pragma once

#include "macros.hpp"
#include "types.hpp"

namespace hinged {

// A table in vector registers. Entries are read by permutation.
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

// A table of any length in memory. Entries are read by a gather instruction.
template <class V>
struct InMemory {
  const float* table;

  HINGED_INLINE explicit InMemory(const float* entries) : table(entries) {}
  HINGED_INLINE typename V::Floats operator[](typename V::Ints index) const {
    return V::gather(table, index);
  }
};

// The next two classes find the line of an input. The line of NaN is 0.

// Finds the line if all lines have nearly equal widths. An estimate is the right line or the next
// line, and one exact comparison decides.
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

// Finds the line for any widths, by halving the number of lines repeatedly.
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

// Converts two sums for each line, of g (`plain`) and of g (x - origin) (`moment`), and adds them
// to the sums that types.hpp describes.
template <class V>
void share_out(const Lines& lines, int32_t first, int32_t end, const float* plain,
               const float* moment, float* sums) {
  float carried = 0.0f;  // the part of the previous line in the sum that it shares with this line
  for (int32_t k = first; k < end; ++k) {
    float right = moment[k - first] * lines.inverse[k], left = plain[k - first] - right;
    if (lines.tails && k == 0) left = moment[k - first], right = plain[k - first];
    if (lines.tails && k == lines.count - 1) left = plain[k - first], right = moment[k - first];
    sums[k] += carried + left;
    carried = right;
  }
  sums[end] += carried;
}

// The next classes compute two sums for each line. While rows of other channels are read, the sums
// of a channel are in memory, in `size` floats that start as 0. An object takes them, adds the
// elements of some rows, and saves them. `finish` converts them for `share_out`. `kFetches` says
// whether the computation is too long for the processor to read far enough ahead by itself.

// Sums in two registers for each line. This is the fastest method for few lines.
template <class V>
struct SumsInRegisters {
  using Floats = typename V::Floats;
  using Ints = typename V::Ints;
  static constexpr bool kFetches = true;
  static constexpr int kLines = V::kLanes / 2;
  static constexpr int kSums = 2 * kLines;
  Floats totals[kSums];

  static HINGED_INLINE int64_t size(const Lines&) { return kSums * V::kLanes; }
  HINGED_INLINE explicit SumsInRegisters(const float* memory) {
    HINGED_UNROLL
    for (int i = 0; i < kSums; ++i) totals[i] = V::load(memory + i * V::kLanes);
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
  HINGED_INLINE void save(float* memory) const {
    HINGED_UNROLL
    for (int i = 0; i < kSums; ++i) V::store(memory + i * V::kLanes, totals[i]);
  }
  static HINGED_INLINE void finish(const Lines& lines, const float* memory, float* sums) {
    // The number of sums equals the number of lanes. After a transposition, one vector addition per
    // lane is enough.
    Floats each[kSums];
    HINGED_UNROLL
    for (int i = 0; i < kSums; ++i) each[i] = V::load(memory + i * V::kLanes);
    V::transpose(each);
    HINGED_UNROLL
    for (int i = 1; i < kSums; ++i) each[0] = V::add(each[0], each[i]);
    alignas(64) float total[kSums];
    V::store(total, each[0]);
    share_out<V>(lines, 0, lines.count, total, total + kLines, sums);
  }
};

// Pairs of sums in memory. The cost does not depend on the number of lines. Neighbouring lanes add
// to different copies of the sums, so an addition does not wait for the addition before it. The
// terms of 16 vectors are collected before they are added, so a load does not wait for a store.
template <class V>
struct SumsInMemory {
  using Floats = typename V::Floats;
  using Ints = typename V::Ints;
  static constexpr bool kFetches = true;
  static constexpr int kCopies = 8;
  static constexpr int kPlaces = 2 * kCopies;  // floats for one line
  static constexpr int kAside = 16;
  float* pairs;
  alignas(64) float terms[kAside * V::kLanes * 2];
  alignas(64) int32_t places[kAside * V::kLanes];
  int aside = 0;

  static HINGED_INLINE int64_t size(const Lines& lines) {
    // `finish` transposes the lines in blocks with one line for each lane.
    return (lines.count + V::kLanes - 1) / V::kLanes * V::kLanes * kPlaces;
  }
  HINGED_INLINE explicit SumsInMemory(float* memory) : pairs(memory) {}
  HINGED_INLINE void add(Ints index, Floats g, Floats distance) {
    V::store(places + aside * V::kLanes, V::template times<kPlaces>(index));
    V::store_pairs(terms + aside * V::kLanes * 2, g, V::multiply(g, distance));
    if (++aside == kAside) flush();
  }
  HINGED_INLINE void flush() {
    for (int vector = 0; vector < aside; ++vector) {
      const int32_t* place = places + vector * V::kLanes;
      const float* term = terms + vector * V::kLanes * 2;
      HINGED_UNROLL
      for (int i = 0; i < V::kLanes; ++i) {
        V::add_pair(pairs + 2 * (i % kCopies) + place[V::kPairOrder[i]], term + 2 * i);
      }
    }
    aside = 0;
  }
  HINGED_INLINE void save(float*) { flush(); }
  static HINGED_INLINE void finish(const Lines& lines, const float* memory, float* sums) {
    for (int32_t first = 0; first < lines.count; first += V::kLanes) {
      Floats block[V::kLanes];
      HINGED_UNROLL
      for (int i = 0; i < V::kLanes; ++i) {
        const float* line = memory + (first + i) * kPlaces;
        block[i] = V::load(line);
        for (int j = V::kLanes; j < kPlaces; j += V::kLanes) {
          block[i] = V::add(block[i], V::load(line + j));
        }
      }
      V::transpose(block);
      Floats plain = block[0], moment = block[1];
      HINGED_UNROLL
      for (int i = 2; i < V::kLanes; i += 2) {
        plain = V::add(plain, block[i]);
        moment = V::add(moment, block[i + 1]);
      }
      alignas(64) float total[2][V::kLanes];
      V::store(total[0], plain);
      V::store(total[1], moment);
      const int32_t end = first + V::kLanes;
      share_out<V>(lines, first, end < lines.count ? end : lines.count, total[0], total[1], sums);
    }
  }
};

template <class V>
struct NoSums {
  static constexpr bool kFetches = false;
  static HINGED_INLINE int64_t size(const Lines&) { return 0; }
  HINGED_INLINE explicit NoSums(const float*) {}
  HINGED_INLINE void add(typename V::Ints, typename V::Floats, typename V::Floats) {}
  HINGED_INLINE void save(float*) const {}
  static HINGED_INLINE void finish(const Lines&, const float*, float*) {}
};

// The distance in elements from the present elements to the prefetched elements.
constexpr int64_t kAhead = 512;
constexpr int64_t kCacheLine = 64;

// Prefetches two vectors of elements.
template <class V, class T>
HINGED_INLINE void fetch_two(const T* from) {
  constexpr int64_t step = kCacheLine / static_cast<int64_t>(sizeof(T));
  for (int64_t i = 0; i < 2 * V::kLanes; i += step) HINGED_PREFETCH(from + i);
}

// A run consists of rows of one channel with at least this number of elements in all. Shorter runs
// would read the tables and sums of channels too often.
constexpr int64_t kRun = 256;

// Calls `work(channel, at, rows)` for each run. `at` is the first element, and `rows` the number of
// rows. The runs of neighbouring channels follow each other, so memory is read nearly in order.
// This is up to twice as fast as one channel after the other, if the elements are not in a cache.
template <class Work>
HINGED_INLINE void for_each_run(const Rows& all, Work work) {
  const int64_t rows = (kRun + all.length - 1) / all.length;
  for (int64_t row = 0; row < all.rows; row += rows) {
    const int64_t left = all.rows - row;
    for (int64_t channel = 0; channel < all.channels; ++channel) {
      const int64_t at = row * all.row_stride + channel * all.channel_stride;
      work(channel, at, left < rows ? left : rows);
    }
  }
}

template <class V, class T, class Search, class Table>
HINGED_INLINE void forward_run(const Lines& lines, const T* x, T* y, int64_t rows,
                               const Rows& all) {
  using Floats = typename V::Floats;
  const Search line_of(lines);
  const Table slope(lines.slope), intercept(lines.intercept);
  const Floats lowest = V::all(lines.lowest), highest = V::all(lines.highest);
  const auto evaluate = [&](Floats input) HINGED_INLINE_LAMBDA {
    const auto index = line_of(input);
    const Floats within = V::max(lowest, V::min(highest, input));
    // The product and the sum are rounded separately, as in the reference in plain torch. The
    // results are therefore equal bit for bit.
    return V::add(V::multiply(within, slope[index]), intercept[index]);
  };
  for (int64_t row = 0; row < rows; ++row) {
    int64_t i = row * all.row_stride;
    const int64_t end = i + all.length;
    for (; i + 2 * V::kLanes <= end; i += 2 * V::kLanes) {
      Floats a, b;
      V::load_two(x + i, a, b);
      V::store_two(y + i, evaluate(a), evaluate(b));
    }
    for (; i + V::kLanes <= end; i += V::kLanes) V::store(y + i, evaluate(V::load(x + i)));
    const int rest = static_cast<int>(end - i);
    if (rest > 0) V::store_some(y + i, evaluate(V::load_some(x + i, rest)), rest);
  }
}

template <class V, class T, class Search, class Table, class Sums>
HINGED_INLINE void backward_run(const Lines& lines, const T* x, const T* grad_y, T* grad_x,
                                float* memory, int64_t rows, const Rows& all) {
  using Floats = typename V::Floats;
  const Search line_of(lines);
  const Table slope(lines.slope), origin(lines.origin);
  const Floats lowest = V::all(lines.lowest), highest = V::all(lines.highest);
  Sums total(memory);
  const bool fetches = Sums::kFetches && rows == 1;  // several rows would evict each other
  const auto gradient = [&](Floats input, Floats g) HINGED_INLINE_LAMBDA {
    const auto index = line_of(input);
    const Floats within = V::max(lowest, V::min(highest, input));
    total.add(index, g, V::subtract(within, origin[index]));
    return V::multiply(g, slope[index]);
  };
  for (int64_t row = 0; row < rows; ++row) {
    int64_t i = row * all.row_stride;
    const int64_t end = i + all.length;
    for (; i + 2 * V::kLanes <= end; i += 2 * V::kLanes) {
      Floats a, b, grad_a, grad_b;
      if (fetches) {
        fetch_two<V>(x + i + kAhead);
        fetch_two<V>(grad_y + i + kAhead);
        if (grad_x != nullptr) fetch_two<V>(grad_x + i + kAhead);
      }
      V::load_two(x + i, a, b);
      V::load_two(grad_y + i, grad_a, grad_b);
      const Floats first = gradient(a, grad_a), second = gradient(b, grad_b);
      if (grad_x != nullptr) V::store_two(grad_x + i, first, second);
    }
    for (; i + V::kLanes <= end; i += V::kLanes) {
      const Floats result = gradient(V::load(x + i), V::load(grad_y + i));
      if (grad_x != nullptr) V::store(grad_x + i, result);
    }
    const int rest = static_cast<int>(end - i);
    if (rest == 0) continue;
    // The lanes beyond the end of the row are inputs with gradient 0, which change no sum.
    const Floats result = gradient(V::load_some(x + i, rest), V::load_some(grad_y + i, rest));
    if (grad_x != nullptr) V::store_some(grad_x + i, result, rest);
  }
  total.save(memory);
}

// The largest number of floats for sums of channels that are read together. They fit in the second
// cache of a core, and in its stack.
constexpr int64_t kSumsTogether = 16384;

template <class V, class T, class Search, class Table, class Sums>
void backward_loop(const Lines* lines, const T* x, const T* grad_y, T* grad_x, float* sums,
                   Rows rows) {
  const int64_t size = Sums::size(*lines), all = rows.channels;
  const int64_t together = size == 0 ? all : kSumsTogether / size;
  alignas(64) float memory[kSumsTogether];
  for (int64_t first = 0; first < all; first += together) {
    rows.channels = all - first < together ? all - first : together;
    const int64_t start = first * rows.channel_stride;
    for (int64_t i = 0; i < rows.channels * size; i += V::kLanes) V::store(memory + i, V::zero());
    for_each_run(rows, [&](int64_t channel, int64_t at, int64_t count) HINGED_INLINE_LAMBDA {
      backward_run<V, T, Search, Table, Sums>(
          lines[first + channel], x + start + at, grad_y + start + at,
          grad_x == nullptr ? nullptr : grad_x + start + at, memory + channel * size, count, rows);
    });
    for (int64_t channel = 0; channel < rows.channels; ++channel) {
      Sums::finish(lines[first + channel], memory + channel * size,
                   sums + (first + channel) * (lines->count + 1));
    }
  }
}

// The classes for the search and for the tables.
template <class SearchType, class TableType>
struct Choice {
  using Search = SearchType;
  using Table = TableType;
};

template <class V, class Table, class Run>
HINGED_INLINE void with_table(const Lines* lines, int64_t channels, Run run) {
  bool even = true;
  for (int64_t c = 0; c < channels; ++c) even = even && lines[c].scale != 0.0f;
  if (even) {
    run(Choice<ByArithmetic<V, Table>, Table>{});
  } else {
    run(Choice<ByHalving<V, Table>, Table>{});
  }
}

template <class V, class Run>
HINGED_INLINE void with_choice(const Lines* lines, int64_t channels, Run run) {
  if constexpr (V::kPermutes) {
    if (lines->count <= V::kLanes) return with_table<V, InRegisters<V, 1>>(lines, channels, run);
    if (lines->count <= 2 * V::kLanes)
      return with_table<V, InRegisters<V, 2>>(lines, channels, run);
    if (lines->count <= 4 * V::kLanes)
      return with_table<V, InRegisters<V, 4>>(lines, channels, run);
  }
  with_table<V, InMemory<V>>(lines, channels, run);
}

template <class V, class T>
void forward_in_rows(const Lines* lines, const T* x, T* y, Rows rows) {
  with_choice<V>(lines, rows.channels, [&](auto choice) HINGED_INLINE_LAMBDA {
    using Chosen = decltype(choice);
    for_each_run(rows, [&](int64_t channel, int64_t at, int64_t count) HINGED_INLINE_LAMBDA {
      forward_run<V, T, typename Chosen::Search, typename Chosen::Table>(lines[channel], x + at,
                                                                         y + at, count, rows);
    });
  });
}

template <class V, class T>
void backward_in_rows(const Lines* lines, const T* x, const T* grad_y, T* grad_x, float* sums,
                      Rows rows) {
  with_choice<V>(lines, rows.channels, [&](auto choice) HINGED_INLINE_LAMBDA {
    using Search = typename decltype(choice)::Search;
    using Table = typename decltype(choice)::Table;
    if (sums == nullptr) {
      return backward_loop<V, T, Search, Table, NoSums<V>>(lines, x, grad_y, grad_x, sums, rows);
    }
    if constexpr (V::kPermutes) {
      if (lines->count <= SumsInRegisters<V>::kLines) {
        using Sums = SumsInRegisters<V>;
        return backward_loop<V, T, Search, Table, Sums>(lines, x, grad_y, grad_x, sums, rows);
      }
    }
    backward_loop<V, T, Search, Table, SumsInMemory<V>>(lines, x, grad_y, grad_x, sums, rows);
  });
}

}  // namespace hinged
