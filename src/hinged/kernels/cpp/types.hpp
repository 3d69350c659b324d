// The arguments of the kernels: curves as tables of lines, and tensors as rows in memory.
//
// Each instruction set compiles this file with its own flags, so it contains no functions. The
// linker would keep only one of several copies, perhaps one that this processor cannot run.
#pragma once

#include <cstdint>

namespace hinged {

struct BFloat16 {
  uint16_t bits;
};

// The most lines of one channel, tails included. The sums of this many lines fit on the stack and
// in the nearest caches. No known experiment uses as many.
constexpr int32_t kMostLines = 512;

// The lines `y = slope x + intercept` of one channel from left to right. The arrays have `count`
// entries and are padded to a power of two.
struct Lines {
  const float* slope;
  const float* intercept;
  const float* lower;    // left end of the line: -inf for the first, NaN in the padding
  const float* origin;   // a hinge on the line; backward uses the distance of inputs from it
  const float* inverse;  // 1 / width of a piece
  int32_t count;
  bool tails;  // the first and the last line are tails, not pieces
  // If all pieces have nearly equal widths, the line of x is the integer part of `scale x +
  // offset`, or the line before it. Otherwise `scale` is 0.
  float scale;
  float offset;
  // Inputs are clamped to these. They are finite on flat tails, because 0 * inf is NaN.
  float lowest;
  float highest;
};

// The number of channels in a group. A vector with fewer lanes takes a part of a group.
constexpr int32_t kGroup = 16;
// Curves with more lines are faster if the lines are looked up by index.
constexpr int32_t kMostGroupLines = 16;

// The lines of `kGroup` neighbouring channels, as in `Lines`: line `line` of channel `c` is at
// `[line * kGroup + c]`. The tables are padded to a multiple of four lines; the left end of a
// padding line is NaN.
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

// Rows of one channel: `length` neighbouring elements. Each row starts `stride` elements after the
// one before.
struct Rows {
  int64_t rows;
  int64_t length;
  int64_t stride;
};

// Pixels with one element for each of several neighbouring channels. Each pixel starts `stride`
// elements after the one before.
struct Pixels {
  int64_t pixels;
  int64_t channels;
  int64_t stride;
};

// The kernels of one instruction set, for elements of type T.
//
// Line k lies between the sums k and k + 1 of its channel. With t = (x - origin) / width, an input
// on a piece adds g (1 - t) to the sum on its left and g t to the sum on its right: these are the
// gradients of the values. An input on a tail adds g to the sum of its hinge and g (x - origin) to
// the sum outside. Backward adds to `sums`, which has the layout (channel, sum), or
// (group, sum, kGroup) for groups. `grad_x` and `sums` may be null.
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
