// Names for attributes and pragmas that differ between compilers.
#pragma once

#if defined(__GNUC__)
#define HINGED_UNROLL _Pragma("GCC unroll 32")
#define HINGED_INLINE inline __attribute__((always_inline))
#define HINGED_INLINE_LAMBDA __attribute__((always_inline))
#define HINGED_PREFETCH(address) __builtin_prefetch(address)
#else
#define HINGED_UNROLL
#define HINGED_INLINE __forceinline
#define HINGED_INLINE_LAMBDA
#define HINGED_PREFETCH(address) static_cast<void>(address)
#endif
