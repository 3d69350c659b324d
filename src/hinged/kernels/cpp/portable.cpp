// The vector operations in plain C++. They run on any processor, and define the result of each
// operation for the other instruction sets.
#include "kernels.hpp"

namespace hinged {
namespace {

struct Portable {
  static constexpr int kLanes = 8;
  static constexpr bool kPermutes = false;
  static constexpr int kPairOrder[kLanes] = {0, 1, 2, 3, 4, 5, 6, 7};

  struct Floats {
    float lane[kLanes];
  };
  struct Ints {
    int32_t lane[kLanes];
  };
  using Mask = Ints;

  template <class Result, class F>
  static HINGED_INLINE Result each(F f) {
    Result result;
    HINGED_UNROLL
    for (int i = 0; i < kLanes; ++i) result.lane[i] = f(i);
    return result;
  }

  static HINGED_INLINE float widen(float x) { return x; }
  static HINGED_INLINE float widen(BFloat16 x) {
    union {
      uint32_t bits;
      float number;
    } both = {static_cast<uint32_t>(x.bits) << 16};
    return both.number;
  }
  static HINGED_INLINE void narrow(float x, float* to) { *to = x; }
  static HINGED_INLINE void narrow(float x, BFloat16* to) {
    union {
      float number;
      uint32_t bits;
    } both = {x};
    const uint32_t nearest_even = both.bits + 0x7fff + ((both.bits >> 16) & 1);
    to->bits = x == x ? static_cast<uint16_t>(nearest_even >> 16) : 0x7fc0;
  }

  // Operations on memory.
  static HINGED_INLINE Floats zero() { return all(0.0f); }
  static HINGED_INLINE Floats all(float x) {
    return each<Floats>([&](int) { return x; });
  }
  template <class T>
  static HINGED_INLINE Floats load(const T* from) {
    return each<Floats>([&](int i) { return widen(from[i]); });
  }
  // Loads the first `count` lanes. The other lanes are 0.
  template <class T>
  static HINGED_INLINE Floats load_some(const T* from, int count) {
    return each<Floats>([&](int i) { return i < count ? widen(from[i]) : 0.0f; });
  }
  template <class T>
  static HINGED_INLINE void store(T* to, Floats x) {
    for (int i = 0; i < kLanes; ++i) narrow(x.lane[i], to + i);
  }
  template <class T>
  static HINGED_INLINE void store_some(T* to, Floats x, int count) {
    for (int i = 0; i < count; ++i) narrow(x.lane[i], to + i);
  }
  // Loads or stores two vectors. An instruction set may order the lanes differently, but in the
  // same way for `load_two` and `store_two`.
  template <class T>
  static HINGED_INLINE void load_two(const T* from, Floats& a, Floats& b) {
    a = load(from);
    b = load(from + kLanes);
  }
  template <class T>
  static HINGED_INLINE void store_two(T* to, Floats a, Floats b) {
    store(to, a);
    store(to + kLanes, b);
  }
  static HINGED_INLINE void store(int32_t* to, Ints x) {
    for (int i = 0; i < kLanes; ++i) to[i] = x.lane[i];
  }
  // Stores pairs of a lane of `a` and the same lane of `b`, in the order `kPairOrder`.
  static HINGED_INLINE void store_pairs(float* to, Floats a, Floats b) {
    for (int i = 0; i < kLanes; ++i) {
      to[2 * i] = a.lane[i];
      to[2 * i + 1] = b.lane[i];
    }
  }
  static HINGED_INLINE void add_pair(float* to, const float* pair) {
    to[0] += pair[0];
    to[1] += pair[1];
  }
  static HINGED_INLINE Floats gather(const float* table, Ints index) {
    return each<Floats>([&](int i) { return table[index.lane[i]]; });
  }
  static HINGED_INLINE void transpose(Floats* rows) {
    for (int i = 0; i < kLanes; ++i) {
      for (int j = 0; j < i; ++j) {
        const float moved = rows[i].lane[j];
        rows[i].lane[j] = rows[j].lane[i];
        rows[j].lane[i] = moved;
      }
    }
  }

  // Arithmetic.
  static HINGED_INLINE Floats add(Floats a, Floats b) {
    return each<Floats>([&](int i) { return a.lane[i] + b.lane[i]; });
  }
  static HINGED_INLINE Floats subtract(Floats a, Floats b) {
    return each<Floats>([&](int i) { return a.lane[i] - b.lane[i]; });
  }
  static HINGED_INLINE Floats multiply(Floats a, Floats b) {
    return each<Floats>([&](int i) { return a.lane[i] * b.lane[i]; });
  }
  // The result has one rounding or two, depending on the instruction set. It is used only where
  // both are correct.
  static HINGED_INLINE Floats multiply_add(Floats a, Floats b, Floats c) {
    return each<Floats>([&](int i) { return a.lane[i] * b.lane[i] + c.lane[i]; });
  }
  // `min` and `max` return `b` if `a` or `b` is NaN.
  static HINGED_INLINE Floats min(Floats a, Floats b) {
    return each<Floats>([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static HINGED_INLINE Floats max(Floats a, Floats b) {
    return each<Floats>([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static HINGED_INLINE Floats add_where(Mask mask, Floats a, Floats b) {
    return each<Floats>([&](int i) { return mask.lane[i] ? a.lane[i] + b.lane[i] : a.lane[i]; });
  }

  static HINGED_INLINE Floats choose(Mask mask, Floats a, Floats b) {
    return each<Floats>([&](int i) { return mask.lane[i] ? a.lane[i] : b.lane[i]; });
  }

  // Operations on indices.
  static HINGED_INLINE Ints no_index() {
    return each<Ints>([](int) { return 0; });
  }
  static HINGED_INLINE Ints truncate(Floats x) {
    return each<Ints>([&](int i) { return static_cast<int32_t>(x.lane[i]); });
  }
  static HINGED_INLINE Ints add(Ints a, int32_t b) {
    return each<Ints>([&](int i) { return a.lane[i] + b; });
  }
  template <int kFactor>
  static HINGED_INLINE Ints times(Ints x) {
    return each<Ints>([&](int i) { return kFactor * x.lane[i]; });
  }
  static HINGED_INLINE Ints decrement_where(Mask mask, Ints x) {
    return each<Ints>([&](int i) { return x.lane[i] - mask.lane[i]; });
  }
  static HINGED_INLINE Ints choose(Mask mask, Ints a, Ints b) {
    return each<Ints>([&](int i) { return mask.lane[i] ? a.lane[i] : b.lane[i]; });
  }

  // Comparisons. The result is false if an operand is NaN.
  static HINGED_INLINE Mask less(Floats a, Floats b) {
    return each<Mask>([&](int i) { return a.lane[i] < b.lane[i] ? 1 : 0; });
  }
  static HINGED_INLINE Mask less_equal(Floats a, Floats b) {
    return each<Mask>([&](int i) { return a.lane[i] <= b.lane[i] ? 1 : 0; });
  }
  static HINGED_INLINE Mask equal(Ints a, int32_t b) {
    return each<Mask>([&](int i) { return a.lane[i] == b ? 1 : 0; });
  }
  static HINGED_INLINE Mask always() {
    return each<Mask>([](int) { return 1; });
  }
  // Returns true where `a` is true and `b` is false.
  static HINGED_INLINE Mask without(Mask a, Mask b) {
    return each<Mask>([&](int i) { return a.lane[i] & ~b.lane[i]; });
  }
};

}  // namespace

extern const Kernels kPortable = kernels<Portable>();

}  // namespace hinged
