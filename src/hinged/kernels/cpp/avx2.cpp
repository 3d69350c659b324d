// The vector operations in AVX2 and FMA. portable.cpp defines the result of each operation.
#include <immintrin.h>

#include "kernels.hpp"

namespace hinged {
namespace {

struct Avx2 {
  static constexpr int kLanes = 8;
  static constexpr bool kPermutes = true;
  static constexpr int kPairOrder[kLanes] = {0, 1, 4, 5, 2, 3, 6, 7};
  using Floats = __m256;
  using Ints = __m256i;
  using Mask = __m256;

  static HINGED_INLINE Ints first(int count) {
    const Ints lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lanes);
  }
  static HINGED_INLINE Floats widen(__m128i x) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
  }
  // Rounds each lane to bfloat16 in its upper half. The lower half is undefined.
  static HINGED_INLINE Ints rounded(Floats x) {
    const Ints bits = _mm256_castps_si256(x);
    const Ints odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const Ints half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
    const Ints nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(_mm256_add_epi32(bits, half), _mm256_set1_epi32(0x7fc00000), nan);
  }
  static HINGED_INLINE __m128i narrow(Floats x) {
    const Ints halves = _mm256_srli_epi32(rounded(x), 16);
    const Ints packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(halves, halves), 0x08);
    return _mm256_castsi256_si128(packed);
  }

  static HINGED_INLINE Floats zero() { return _mm256_setzero_ps(); }
  static HINGED_INLINE Floats all(float x) { return _mm256_set1_ps(x); }
  static HINGED_INLINE Floats load(const float* from) { return _mm256_loadu_ps(from); }
  static HINGED_INLINE Floats load(const BFloat16* from) {
    return widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static HINGED_INLINE Floats load_some(const float* from, int count) {
    return _mm256_maskload_ps(from, first(count));
  }
  static HINGED_INLINE Floats load_some(const BFloat16* from, int count) {
    alignas(16) BFloat16 padded[kLanes] = {};
    for (int i = 0; i < count; ++i) padded[i] = from[i];
    return load(padded);
  }
  static HINGED_INLINE void store(float* to, Floats x) { _mm256_storeu_ps(to, x); }
  static HINGED_INLINE void store(BFloat16* to, Floats x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), narrow(x));
  }
  static HINGED_INLINE void store_some(float* to, Floats x, int count) {
    _mm256_maskstore_ps(to, first(count), x);
  }
  static HINGED_INLINE void store_some(BFloat16* to, Floats x, int count) {
    alignas(16) BFloat16 padded[kLanes];
    store(padded, x);
    for (int i = 0; i < count; ++i) to[i] = padded[i];
  }
  static HINGED_INLINE void load_two(const float* from, Floats& a, Floats& b) {
    a = load(from);
    b = load(from + kLanes);
  }
  static HINGED_INLINE void store_two(float* to, Floats a, Floats b) {
    store(to, a);
    store(to + kLanes, b);
  }
  // `a` gets the numbers with an even index, `b` those with an odd index. No number changes its
  // lane.
  static HINGED_INLINE void load_two(const BFloat16* from, Floats& a, Floats& b) {
    const Ints both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    a = _mm256_castsi256_ps(_mm256_slli_epi32(both, 16));
    b = _mm256_castsi256_ps(_mm256_and_si256(both, _mm256_set1_epi32(~0xffff)));
  }
  static HINGED_INLINE void store_two(BFloat16* to, Floats a, Floats b) {
    const Ints even = _mm256_srli_epi32(rounded(a), 16);
    const Ints both = _mm256_blend_epi16(even, rounded(b), 0xaa);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), both);
  }
  static HINGED_INLINE void store(int32_t* to, Ints x) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(to), x);
  }
  static HINGED_INLINE void store_pairs(float* to, Floats a, Floats b) {
    _mm256_store_ps(to, _mm256_unpacklo_ps(a, b));
    _mm256_store_ps(to + kLanes, _mm256_unpackhi_ps(a, b));
  }
  static HINGED_INLINE void add_pair(float* to, const float* pair) {
    const __m128 term = _mm_castpd_ps(_mm_load_sd(reinterpret_cast<const double*>(pair)));
    const __m128 sum = _mm_castpd_ps(_mm_load_sd(reinterpret_cast<const double*>(to)));
    _mm_store_sd(reinterpret_cast<double*>(to), _mm_castps_pd(_mm_add_ps(sum, term)));
  }
  static HINGED_INLINE Floats gather(const float* table, Ints index) {
    return _mm256_i32gather_ps(table, index, 4);
  }
  template <int kRegisters>
  static HINGED_INLINE Floats permute(const Floats* entries, Ints index) {
    if constexpr (kRegisters == 1) {
      return _mm256_permutevar8x32_ps(entries[0], index);
    } else {
      constexpr int kHalf = kRegisters / 2;
      // The shift moves the bit that selects the half to the sign bit, which the blend reads.
      constexpr int kShift = kHalf == 1 ? 28 : 27;
      const Floats upper = _mm256_castsi256_ps(_mm256_slli_epi32(index, kShift));
      return _mm256_blendv_ps(permute<kHalf>(entries, index),
                              permute<kHalf>(entries + kHalf, index), upper);
    }
  }
  static HINGED_INLINE void transpose(Floats* rows) {
    Floats pairs[kLanes], quads[kLanes];
    HINGED_UNROLL
    for (int i = 0; i < kLanes; i += 2) {
      pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
      pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    HINGED_UNROLL
    for (int i = 0; i < kLanes; i += 4) {
      for (int j = 0; j < 2; ++j) {
        quads[i + 2 * j] = _mm256_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0x44);
        quads[i + 2 * j + 1] = _mm256_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0xee);
      }
    }
    HINGED_UNROLL
    for (int j = 0; j < 4; ++j) {
      rows[j] = _mm256_permute2f128_ps(quads[j], quads[j + 4], 0x20);
      rows[j + 4] = _mm256_permute2f128_ps(quads[j], quads[j + 4], 0x31);
    }
  }

  static HINGED_INLINE Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
  static HINGED_INLINE Floats subtract(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
  static HINGED_INLINE Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static HINGED_INLINE Floats multiply_add(Floats a, Floats b, Floats c) {
    return _mm256_fmadd_ps(a, b, c);
  }
  static HINGED_INLINE Floats min(Floats a, Floats b) { return _mm256_min_ps(a, b); }
  static HINGED_INLINE Floats max(Floats a, Floats b) { return _mm256_max_ps(a, b); }
  static HINGED_INLINE Floats add_where(Mask mask, Floats a, Floats b) {
    return _mm256_add_ps(a, _mm256_and_ps(mask, b));
  }
  static HINGED_INLINE Floats choose(Mask mask, Floats a, Floats b) {
    return _mm256_blendv_ps(b, a, mask);
  }

  static HINGED_INLINE Ints no_index() { return _mm256_setzero_si256(); }
  static HINGED_INLINE Ints truncate(Floats x) { return _mm256_cvttps_epi32(x); }
  static HINGED_INLINE Ints add(Ints a, int32_t b) {
    return _mm256_add_epi32(a, _mm256_set1_epi32(b));
  }
  template <int kFactor>
  static HINGED_INLINE Ints times(Ints x) {
    return _mm256_mullo_epi32(x, _mm256_set1_epi32(kFactor));
  }
  static HINGED_INLINE Ints decrement_where(Mask mask, Ints x) {
    return _mm256_add_epi32(x, _mm256_castps_si256(mask));  // a true mask is -1
  }
  static HINGED_INLINE Ints choose(Mask mask, Ints a, Ints b) {
    return _mm256_blendv_epi8(b, a, _mm256_castps_si256(mask));
  }

  static HINGED_INLINE Mask less(Floats a, Floats b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
  static HINGED_INLINE Mask less_equal(Floats a, Floats b) {
    return _mm256_cmp_ps(a, b, _CMP_LE_OQ);
  }
  static HINGED_INLINE Mask equal(Ints a, int32_t b) {
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, _mm256_set1_epi32(b)));
  }
  static HINGED_INLINE Mask always() { return _mm256_castsi256_ps(_mm256_set1_epi32(-1)); }
  static HINGED_INLINE Mask without(Mask a, Mask b) { return _mm256_andnot_ps(b, a); }
};

}  // namespace

extern const Kernels kAvx2 = kernels<Avx2>();

}  // namespace hinged
