// The kernels, written once against a small vocabulary of vectors `V` (portable.cpp defines its
// words in plain C++) and compiled once for each instruction set.
//
// Everything is a template over `V` or over types made from it, so that no two instruction sets
// share a symbol; for the same reason nothing of the standard library is called.
#pragma once

#include "groups.hpp"
#include "rows.hpp"
#include "tiles.hpp"

namespace hinged {

template <class V, class T>
constexpr KernelsOf<T> kernels_of() {
  return {forward_in_rows<V, T>,  forward_in_tiles<V, T>,  forward_in_groups<V, T>,
          backward_in_rows<V, T>, backward_in_tiles<V, T>, backward_in_groups<V, T>};
}

template <class V>
constexpr Kernels kernels() {
  return {kernels_of<V, float>(), kernels_of<V, BFloat16>()};
}

}  // namespace hinged
