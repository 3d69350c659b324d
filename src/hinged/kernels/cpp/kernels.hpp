// The kernels are templates over a class `V` of vector operations, and are compiled for each
// instruction set. portable.cpp defines the operations in plain C++.
//
// All functions are templates over `V` or over types that depend on it. Two instruction sets
// therefore share no symbol. For the same reason, no function of the standard library is called.
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
