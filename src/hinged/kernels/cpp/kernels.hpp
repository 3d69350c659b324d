// The kernels. They are written once, as templates over a class `V` of vector operations, and
// compiled once for each instruction set. portable.cpp defines the operations in plain C++.
//
// Everything is a template over `V` or over types that depend on it, so that no two instruction
// sets share a symbol. For the same reason nothing of the standard library is called.
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
