// The arguments of the kernels: curves as tables of lines, and tensors as rows in memory. A line
// is a piece of a curve (between two neighbouring hinges) or a tail.
//
// This file is compiled for each instruction set, with different flags. It therefore contains no
// functions: of several copies of a function, the linker would keep only one, and perhaps a copy
// that this processor cannot run.
#pragma once

#include <cstdint>

namespace hinged {

struct BFloat16 {
  uint16_t bits;
};

// The largest number of lines of one channel, tails included. The sums for 512 lines fit on the
// stack and in the caches of a core. No known experiment needs more lines.
constexpr int32_t kMostLines = 512;

// The lines `y = slope x + intercept` of one channel from left to right. Each array has `count`
// entries and is padded to a power of two.
struct Lines {
  const float* slope;
  const float* intercept;
  const float* lower;    // left end of the line: -inf for the first line, NaN in the padding
  const float* origin;   // a hinge on the line; backward uses the distance from it to the input
  const float* inverse;  // 1 / width of a piece
  int32_t count;
  bool tails;  // the first and the last line are tails, not pieces
  // If all pieces have nearly equal widths, the integer part of `scale x + offset` is the line of
  // x or the line after it. Otherwise `scale` is 0.
  float scale;
  float offset;
  // The limits to which inputs are clamped. On a flat tail the limit is finite, because 0 * inf is
  // NaN.
  float lowest;
  float highest;
};

// The number of channels in a group. A vector with fewer lanes contains a part of a group.
constexpr int32_t kGroup = 16;
// The largest number of lines for groups. With more lines, looking up a line by index is faster.
constexpr int32_t kMostGroupLines = 16;

// The lines of `kGroup` neighbouring channels. The fields have the meaning they have in `Lines`.
// Line `line` of channel `c` is at `[line * kGroup + c]`. The tables are padded to a multiple of
// four lines. The left end of a padding line is NaN.
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

// Rows of several channels. A row has `length` neighbouring elements of one channel. Element `i` of
// row `row` of channel `c` is at `[row * row_stride + c * channel_stride + i]`.
struct Rows {
  int64_t rows;
  int64_t channels;
  int64_t length;
  int64_t row_stride;
  int64_t channel_stride;
};

// Pixels with one element for each of several neighbouring channels. A pixel starts `stride`
// elements after the pixel before it.
struct Pixels {
  int64_t pixels;
  int64_t channels;
  int64_t stride;
};

// The kernels of one instruction set, for elements of type T.
//
// Backward adds to `sums`, which has the layout (channel, sum), or (group, sum, kGroup) for groups.
// A channel has one sum more than lines, and line k lies between the sums k and k + 1. Let g be the
// gradient of the loss with respect to the output for an input x.
// - On a piece, with t = (x - origin) / width, backward adds g (1 - t) to the sum on the left of
//   the piece, and g t to the sum on its right. These sums are the gradients of the values.
// - On a tail, backward adds g to the sum next to the tail's hinge, and g (x - origin) to the other
//   sum, which is the gradient of the tail's slope.
// `grad_x` and `sums` may be null. They are then not computed.
template <class T>
struct KernelsOf {
  void (*forward_rows)(const Lines* lines, const T* x, T* y, Rows rows);
  void (*forward_tiles)(const Lines* lines, const T* x, T* y, Pixels pixels);
  void (*forward_groups)(const Group* groups, const T* x, T* y, Pixels pixels);
  void (*backward_rows)(const Lines* lines, const T* x, const T* grad_y, T* grad_x, float* sums,
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
