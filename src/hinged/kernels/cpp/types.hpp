// What the kernels are given: curves as tables of lines, and tensors as rows in memory.
//
// Each instruction set compiles this file with its own flags, so it holds no functions: of several
// copies the linker would keep one, perhaps one this processor cannot run.
#pragma once

#include <cstdint>

namespace hinged {

struct BFloat16 {
  uint16_t bits;
};

// Lines of one channel at most, tails included. Sums of this many fit on the stack and in the
// nearest caches; no experiment known uses as many.
constexpr int32_t kMostLines = 512;

// The lines `y = slope x + intercept` of one channel from left to right, in arrays of
// `count` entries padded to a power of two.
struct Lines {
  const float* slope;
  const float* intercept;
  const float* lower;    // where the line begins: -inf for the first, NaN in the padding
  const float* origin;   // a hinge on the line, from which the backward measures inputs
  const float* inverse;  // one over the line's width, of a piece
  int32_t count;
  bool tails;  // the first and the last line are tails, not pieces
  // Where all lines but the tails are of nearly equal width, the line of x is the whole part of
  // `scale x + offset`, or the one before it. `scale` is 0 otherwise.
  float scale;
  float offset;
  // Inputs are clamped to these: on a flat tail an infinity must be finite, as 0 * inf is NaN.
  float lowest;
  float highest;
};

// Channels that are handled side by side. A vector of fewer lanes takes a part of them.
constexpr int32_t kGroup = 16;
// Curves of more lines are cheaper looked up by index.
constexpr int32_t kMostGroupLines = 16;

// The lines of `kGroup` neighbouring channels, as in `Lines`: those of channel `c` are at
// `[line * kGroup + c]`. There is room for a multiple of four lines; what fills it begins at NaN.
struct Group {
  const float* slope;
  const float* intercept;
  const float* lower;
  const float* origin;
  const float* inverse;
  const float* lowest;   // (kGroup)
  const float* highest;  // (kGroup)
  int32_t count;
  bool tails;
};

// Rows of one channel: `length` neighbouring elements, each row `stride` elements after the last.
struct Rows {
  int64_t rows;
  int64_t length;
  int64_t stride;
};

// Pixels of neighbouring channels, one element each, each pixel `stride` elements after the last.
struct Pixels {
  int64_t pixels;
  int64_t channels;
  int64_t stride;
};

// Line k lies between the sums k and k + 1 of its channel. With t = (x - origin) / width, an input
// on a piece adds g (1 - t) to the sum on its left and g t to the one on its right: the gradients
// of the values. On a tail, it adds g to the sum of its hinge and g (x - origin) to the one
// outside. The kernels of one instruction set for elements of type T. The backward adds to `sums`:
// those of one channel after those of another, or (group, sum, kGroup) where channels go in groups.
// Both `grad_x` and `sums` may be null.
template <class T>
struct KernelsOf {
  void (*forward_rows)(const Lines& lines, const T* x, T* y, Rows rows);
  void (*forward_tiles)(const Lines* lines, const T* x, T* y, Pixels pixels);
  void (*forward_groups)(const Group* groups, const T* x, T* y, Pixels pixels);
  void (*backward_rows)(const Lines& lines, const T* x, const T* grad_y, T* grad_x, float* sums,
                        Rows rows);
  void (*backward_tiles)(const Lines* lines, const T* x, const T* grad_y, T* grad_x, float* sums,
                         Pixels pixels);
  void (*backward_groups)(const Group* groups, const T* x, const T* grad_y, T* grad_x, float* sums,
                          Pixels pixels);
};

struct Kernels {
  KernelsOf<float> for_float32;
  KernelsOf<BFloat16> for_bfloat16;
};

extern const Kernels kPortable;
extern const Kernels kAvx2;
extern const Kernels kAvx512;

}  // namespace hinged
