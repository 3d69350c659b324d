// The vector operations in AVX-512. portable.cpp defines the result of each operation.
#include <immintrin.h>

#include "kernels.hpp"

namespace hinged {
namespace {

struct Avx512 {
  static constexpr int kLanes = 16;
  static constexpr bool kPermutes = true;
  static constexpr int kPairOrder[kLanes] = {0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15};
  using Floats = __m512;
  using Ints = __m512i;
  using Mask = __mmask16;

  static HINGED_INLINE Mask first(int count) { return static_cast<Mask>((1u << count) - 1); }
  static HINGED_INLINE Floats widen(__m256i x) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
  }
  // Rounds each lane to bfloat16 in its upper half. The lower half is undefined.
  static HINGED_INLINE Ints rounded(Floats x) {
    const Ints bits = _mm512_castps_si512(x);
    const Ints odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const Ints half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
    const Mask nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    return _mm512_mask_mov_epi32(_mm512_add_epi32(bits, half), nan, _mm512_set1_epi32(0x7fc00000));
  }
  static HINGED_INLINE __m256i narrow(Floats x) {
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded(x), 16));
  }

  static HINGED_INLINE Floats zero() { return _mm512_setzero_ps(); }
  static HINGED_INLINE Floats all(float x) { return _mm512_set1_ps(x); }
  static HINGED_INLINE Floats load(const float* from) { return _mm512_loadu_ps(from); }
  static HINGED_INLINE Floats load(const BFloat16* from) {
    return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static HINGED_INLINE Floats load_some(const float* from, int count) {
    return _mm512_maskz_loadu_ps(first(count), from);
  }
  static HINGED_INLINE Floats load_some(const BFloat16* from, int count) {
    return widen(_mm256_maskz_loadu_epi16(first(count), from));
  }
  static HINGED_INLINE void store(float* to, Floats x) { _mm512_storeu_ps(to, x); }
  static HINGED_INLINE void store(BFloat16* to, Floats x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), narrow(x));
  }
  static HINGED_INLINE void store_some(float* to, Floats x, int count) {
    _mm512_mask_storeu_ps(to, first(count), x);
  }
  static HINGED_INLINE void store_some(BFloat16* to, Floats x, int count) {
    _mm256_mask_storeu_epi16(to, first(count), narrow(x));
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
    const Ints both = _mm512_loadu_si512(from);
    a = _mm512_castsi512_ps(_mm512_slli_epi32(both, 16));
    b = _mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32(~0xffff)));
  }
  static HINGED_INLINE void store_two(BFloat16* to, Floats a, Floats b) {
    const Ints even = _mm512_srli_epi32(rounded(a), 16);
    _mm512_storeu_si512(to, _mm512_mask_blend_epi16(0xaaaaaaaa, even, rounded(b)));
  }
  static HINGED_INLINE void store(int32_t* to, Ints x) { _mm512_store_si512(to, x); }
  static HINGED_INLINE void store_pairs(float* to, Floats a, Floats b) {
    _mm512_store_ps(to, _mm512_unpacklo_ps(a, b));
    _mm512_store_ps(to + kLanes, _mm512_unpackhi_ps(a, b));
  }
  static HINGED_INLINE void add_pair(float* to, const float* pair) {
    const __m128 term = _mm_castpd_ps(_mm_load_sd(reinterpret_cast<const double*>(pair)));
    const __m128 sum = _mm_castpd_ps(_mm_load_sd(reinterpret_cast<const double*>(to)));
    _mm_store_sd(reinterpret_cast<double*>(to), _mm_castps_pd(_mm_add_ps(sum, term)));
  }
  static HINGED_INLINE Floats gather(const float* table, Ints index) {
    return _mm512_i32gather_ps(index, table, 4);
  }
  template <int kRegisters>
  static HINGED_INLINE Floats permute(const Floats* entries, Ints index) {
    if constexpr (kRegisters == 1) return _mm512_permutexvar_ps(index, entries[0]);
    const Floats low = _mm512_permutex2var_ps(entries[0], index, entries[1]);
    if constexpr (kRegisters == 2) return low;
    const Floats high = _mm512_permutex2var_ps(entries[2], index, entries[3]);
    return _mm512_mask_mov_ps(low, _mm512_test_epi32_mask(index, _mm512_set1_epi32(32)), high);
  }
  static HINGED_INLINE void transpose(Floats* rows) {
    Floats pairs[kLanes], quads[kLanes];
    HINGED_UNROLL
    for (int i = 0; i < kLanes; i += 2) {
      pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
      pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    HINGED_UNROLL
    for (int i = 0; i < kLanes; i += 4) {
      for (int j = 0; j < 2; ++j) {
        const __m512d a = _mm512_castps_pd(pairs[i + j]), b = _mm512_castps_pd(pairs[i + j + 2]);
        quads[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
        quads[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
      }
    }
    HINGED_UNROLL
    for (int j = 0; j < 4; ++j) {
      const Floats a = _mm512_shuffle_f32x4(quads[j], quads[j + 4], 0x88);
      const Floats b = _mm512_shuffle_f32x4(quads[j], quads[j + 4], 0xdd);
      const Floats c = _mm512_shuffle_f32x4(quads[j + 8], quads[j + 12], 0x88);
      const Floats d = _mm512_shuffle_f32x4(quads[j + 8], quads[j + 12], 0xdd);
      rows[j] = _mm512_shuffle_f32x4(a, c, 0x88);
      rows[j + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
      rows[j + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
      rows[j + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
  }

  static HINGED_INLINE Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  static HINGED_INLINE Floats subtract(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
  static HINGED_INLINE Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static HINGED_INLINE Floats multiply_add(Floats a, Floats b, Floats c) {
    return _mm512_fmadd_ps(a, b, c);
  }
  static HINGED_INLINE Floats min(Floats a, Floats b) { return _mm512_min_ps(a, b); }
  static HINGED_INLINE Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
  static HINGED_INLINE Floats add_where(Mask mask, Floats a, Floats b) {
    return _mm512_mask_add_ps(a, mask, a, b);
  }
  static HINGED_INLINE Floats choose(Mask mask, Floats a, Floats b) {
    return _mm512_mask_mov_ps(b, mask, a);
  }

  static HINGED_INLINE Ints no_index() { return _mm512_setzero_si512(); }
  static HINGED_INLINE Ints truncate(Floats x) { return _mm512_cvttps_epi32(x); }
  static HINGED_INLINE Ints add(Ints a, int32_t b) {
    return _mm512_add_epi32(a, _mm512_set1_epi32(b));
  }
  template <int kFactor>
  static HINGED_INLINE Ints times(Ints x) {
    return _mm512_mullo_epi32(x, _mm512_set1_epi32(kFactor));
  }
  static HINGED_INLINE Ints decrement_where(Mask mask, Ints x) {
    return _mm512_mask_sub_epi32(x, mask, x, _mm512_set1_epi32(1));
  }
  static HINGED_INLINE Ints choose(Mask mask, Ints a, Ints b) {
    return _mm512_mask_mov_epi32(b, mask, a);
  }

  static HINGED_INLINE Mask less(Floats a, Floats b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
  }
  static HINGED_INLINE Mask less_equal(Floats a, Floats b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ);
  }
  static HINGED_INLINE Mask equal(Ints a, int32_t b) {
    return _mm512_cmpeq_epi32_mask(a, _mm512_set1_epi32(b));
  }
  static HINGED_INLINE Mask always() { return 0xffff; }
  static HINGED_INLINE Mask without(Mask a, Mask b) { return static_cast<Mask>(a & ~b); }
};

}  // namespace

extern const Kernels kAvx512 = kernels<Avx512>();

}  // namespace hinged
