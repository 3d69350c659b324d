// The plain C interface: what is called through ctypes. Divides the work into tasks that depend on
// the shape alone and adds up their sums in a fixed order, so that results are the same, bit for
// bit, for any number of threads.
#include <algorithm>
#include <cstdint>
#include <new>
#include <vector>

#include "tables.hpp"
#include "types.hpp"

#if defined(_WIN32)
#define HINGED_EXPORT extern "C" __declspec(dllexport)
#else
#define HINGED_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace hinged {
namespace {

enum InstructionSet : int32_t { kPortableSet = 0, kAvx2Set = 1, kAvx512Set = 2 };
enum Number : int32_t { kFloat32 = 0, kBFloat16 = 1 };
enum Outcome : int32_t { kDone = 0, kOutOfMemory = 1 };

const Kernels& kernels_for(int32_t set) {
#if defined(HINGED_AVX512)
  if (set == kAvx512Set) return kAvx512;
#endif
#if defined(HINGED_AVX2)
  if (set == kAvx2Set) return kAvx2;
#endif
  (void)set;
  return kPortable;
}

template <class T>
const KernelsOf<T>& of(const Kernels& kernels);
template <>
const KernelsOf<float>& of<float>(const Kernels& kernels) {
  return kernels.for_float32;
}
template <>
const KernelsOf<BFloat16>& of<BFloat16>(const Kernels& kernels) {
  return kernels.for_bfloat16;
}

// Plain C++ looks lines up by index faster than it compares with every hinge.
bool compares_quickly(int32_t set) { return set != kPortableSet; }

// A tensor in memory, the last index fastest.
struct Geometry {
  int64_t outer;
  int64_t channels;
  int64_t inner;

  int64_t size() const { return outer * channels * inner; }
  // Channels are neighbours, as in channels-last images and in rows of features.
  bool by_pixel() const { return inner == 1 && channels > 1; }
};

int64_t parts(int64_t whole, int64_t part) { return (whole + part - 1) / part; }

// What one task does: these outer indices of these channels, a span of each inner run.
struct Task {
  int64_t outer, outers;
  int64_t channel, channels;
  int64_t inner, inners;
  int64_t section;  // tasks of one section have no channel in common
};

// Divides a tensor into tasks. Each takes 2048 elements of a channel where there are as many, or
// 256 pixels: fewer would make adding up the sums of the sections dear.
class Plan {
 public:
  explicit Plan(const Geometry& all) : all_(all) {
    if (all.by_pixel()) {
      // As many channels as lie together, and enough tasks for many threads.
      const int64_t elements = std::clamp<int64_t>(all.size() / 32, kElements, 4 * kElements);
      inners_ = 1;
      outers_ = std::min(std::max(elements / all.channels, kPixels), all.outer);
      channels_ = std::min(parts(elements / outers_, kGroup) * kGroup, all.channels);
    } else {
      inners_ = std::min(all.inner, kElements);
      outers_ = std::clamp<int64_t>(kRun / inners_, 1, all.outer);
      channels_ = std::clamp<int64_t>(kElements / (outers_ * inners_), 1, all.channels);
    }
    inner_parts_ = parts(all.inner, inners_);
    outer_parts_ = parts(all.outer, outers_);
    channel_parts_ = parts(all.channels, channels_);
  }

  int64_t sections() const { return outer_parts_ * inner_parts_; }
  int64_t tasks() const { return sections() * channel_parts_; }

  Task operator[](int64_t index) const {
    const int64_t section = index / channel_parts_;
    const int64_t channel = index % channel_parts_ * channels_;
    const int64_t outer = section / inner_parts_ * outers_;
    const int64_t inner = section % inner_parts_ * inners_;
    return {outer,   std::min(outers_, all_.outer - outer),
            channel, std::min(channels_, all_.channels - channel),
            inner,   std::min(inners_, all_.inner - inner),
            section};
  }

 private:
  static constexpr int64_t kElements = 32768;
  static constexpr int64_t kRun = 2048;
  static constexpr int64_t kPixels = 256;
  Geometry all_;
  int64_t outers_, channels_, inners_;
  int64_t outer_parts_, channel_parts_, inner_parts_;
};

// Runs `work(index)` for every index below `count`.
template <class Work>
void for_all(int64_t count, int32_t threads, Work work) {
#if defined(_OPENMP)
  const int team = static_cast<int>(std::min<int64_t>(count, threads));
  if (team > 1) {
#pragma omp parallel for num_threads(team) schedule(dynamic)
    for (int64_t index = 0; index < count; ++index) work(index);
    return;
  }
#endif
  (void)threads;
  for (int64_t index = 0; index < count; ++index) work(index);
}

template <class T>
void run_forward(const KernelsOf<T>& kernels, const CurveTables& tables, const Geometry& all,
                 const T* x, T* y, int32_t threads) {
  const Plan plan(all);
  for_all(plan.tasks(), threads, [&](int64_t index) {
    const Task task = plan[index];
    const int64_t start = (task.outer * all.channels + task.channel) * all.inner + task.inner;
    if (all.by_pixel()) {
      const Pixels pixels{task.outers, task.channels, all.channels};
      if (tables.by_group()) {
        return kernels.forward_groups(tables.group(task.channel), x + start, y + start, pixels);
      }
      return kernels.forward_tiles(&tables.lines(task.channel), x + start, y + start, pixels);
    }
    const Rows rows{task.outers, task.inners, all.channels * all.inner};
    for (int64_t c = 0; c < task.channels; ++c) {
      const int64_t at = start + c * all.inner;
      kernels.forward_rows(tables.lines(task.channel + c), x + at, y + at, rows);
    }
  });
}

// The channels that sums are kept of: in groups, all lanes of the last one too.
int64_t padded(const Geometry& all, const CurveTables& tables) {
  return tables.by_group() ? parts(all.channels, kGroup) * kGroup : all.channels;
}

template <class T>
void run_backward(const KernelsOf<T>& kernels, const CurveTables& tables, const Geometry& all,
                  const T* x, const T* grad_y, T* grad_x, float* sums, int32_t threads) {
  const Plan plan(all);
  const int64_t per_channel = 2 * tables.count();
  for_all(plan.tasks(), threads, [&](int64_t index) {
    const Task task = plan[index];
    const int64_t start = (task.outer * all.channels + task.channel) * all.inner + task.inner;
    float* own = sums;
    if (own != nullptr) own += (task.section * padded(all, tables) + task.channel) * per_channel;
    const auto moved = [](T* pointer, int64_t by) {
      return pointer == nullptr ? nullptr : pointer + by;
    };
    if (all.by_pixel()) {
      const Pixels pixels{task.outers, task.channels, all.channels};
      if (tables.by_group()) {
        return kernels.backward_groups(tables.group(task.channel), x + start, grad_y + start,
                                       moved(grad_x, start), own, pixels);
      }
      return kernels.backward_tiles(&tables.lines(task.channel), x + start, grad_y + start,
                                    moved(grad_x, start), own, pixels);
    }
    const Rows rows{task.outers, task.inners, all.channels * all.inner};
    for (int64_t c = 0; c < task.channels; ++c) {
      const int64_t at = start + c * all.inner;
      kernels.backward_rows(tables.lines(task.channel + c), x + at, grad_y + at, moved(grad_x, at),
                            own == nullptr ? nullptr : own + c * per_channel, rows);
    }
  });
}

// Adds up the sums of the sections and turns them into gradients.
void add_up(const CurveTables& tables, const Geometry& all, const std::vector<float>& sums,
            float* grad_values, float* grad_tail_slopes, int32_t threads) {
  const int64_t lanes = tables.by_group() ? kGroup : 1;  // channels whose sums lie interleaved
  const int64_t size = lanes * 2 * tables.count();
  const int64_t sections = Plan(all).sections(), groups = parts(all.channels, lanes);
  const int64_t run = kGroup / lanes * 2;
  for_all(parts(groups, run), threads, [&](int64_t index) {
    double total[2 * kMostLines];
    const int64_t end = std::min((index + 1) * run, groups);
    for (int64_t group = index * run; group < end; ++group) {
      std::fill(total, total + size, 0.0);
      for (int64_t section = 0; section < sections; ++section) {
        const float* part = sums.data() + (section * groups + group) * size;
        for (int64_t i = 0; i < size; ++i) total[i] += part[i];
      }
      for (int64_t lane = 0; lane < lanes && group * lanes + lane < all.channels; ++lane) {
        tables.gradients(group * lanes + lane, total + lane, lanes, grad_values, grad_tail_slopes);
      }
    }
  });
}
static_assert(kGroup * kMostGroupLines <= kMostLines, "a group's sums fit where a curve's do");

template <class T>
void backward_all(const Kernels& kernels, const CurveTables& tables, const Geometry& all,
                  const void* x, const void* grad_y, void* grad_x, float* grad_values,
                  float* grad_tail_slopes, int32_t threads) {
  std::vector<float> sums;
  if (grad_values != nullptr) {
    sums.resize(
        static_cast<size_t>(Plan(all).sections() * padded(all, tables) * 2 * tables.count()));
  }
  run_backward(of<T>(kernels), tables, all, static_cast<const T*>(x), static_cast<const T*>(grad_y),
               static_cast<T*>(grad_x), grad_values == nullptr ? nullptr : sums.data(), threads);
  if (grad_values == nullptr) return;
  add_up(tables, all, sums, grad_values, grad_tail_slopes, threads);
}

// Below this, waking another thread costs more than it saves.
constexpr int64_t kWorthAThread = 16384;

int32_t worth(int32_t threads, const Geometry& all) {
  return static_cast<int32_t>(std::clamp<int64_t>(all.size() / kWorthAThread, 1, threads));
}

}  // namespace
}  // namespace hinged

using hinged::Curves;
using hinged::CurveTables;
using hinged::Geometry;

// The instruction sets that were built and that this processor has, the best first;
// `hinged_forward` and `hinged_backward` take them by their place in "portable,avx2,avx512".
HINGED_EXPORT const char* hinged_instruction_sets() {
#if defined(HINGED_AVX512)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    return "avx512,avx2,portable";
  }
#endif
#if defined(HINGED_AVX2)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "avx2,portable";
#endif
  return "portable";
}

HINGED_EXPORT int32_t hinged_uses_openmp() {
#if defined(_OPENMP)
  return 1;
#else
  return 0;
#endif
}

HINGED_EXPORT int32_t hinged_most_lines() { return hinged::kMostLines; }

// x and y are outer x channels x inner in memory; the curves are as in tables.hpp.
HINGED_EXPORT int32_t hinged_forward(const void* x, void* y, int64_t outer, int64_t channels,
                                     int64_t inner, int32_t number, const float* values,
                                     const float* positions, const float* tail_slopes,
                                     int64_t hinges, int32_t positions_by_channel, int32_t tails,
                                     int32_t instruction_set, int32_t threads) {
  try {
    const Curves curves{values,
                        positions,
                        tail_slopes,
                        channels,
                        hinges,
                        positions_by_channel != 0,
                        static_cast<hinged::Tails>(tails)};
    const Geometry all{outer, channels, inner};
    const CurveTables tables(curves, all.by_pixel() && hinged::compares_quickly(instruction_set));
    const hinged::Kernels& kernels = hinged::kernels_for(instruction_set);
    threads = hinged::worth(threads, all);
    if (number == hinged::kFloat32) {
      hinged::run_forward(kernels.for_float32, tables, all, static_cast<const float*>(x),
                          static_cast<float*>(y), threads);
    } else {
      hinged::run_forward(kernels.for_bfloat16, tables, all,
                          static_cast<const hinged::BFloat16*>(x),
                          static_cast<hinged::BFloat16*>(y), threads);
    }
    return hinged::kDone;
  } catch (const std::bad_alloc&) {
    return hinged::kOutOfMemory;
  }
}

// `grad_x` may be null, and so may `grad_values`, (channels, hinges), with `grad_tail_slopes`.
HINGED_EXPORT int32_t hinged_backward(const void* x, const void* grad_y, void* grad_x,
                                      float* grad_values, float* grad_tail_slopes, int64_t outer,
                                      int64_t channels, int64_t inner, int32_t number,
                                      const float* values, const float* positions,
                                      const float* tail_slopes, int64_t hinges,
                                      int32_t positions_by_channel, int32_t tails,
                                      int32_t instruction_set, int32_t threads) {
  try {
    const Curves curves{values,
                        positions,
                        tail_slopes,
                        channels,
                        hinges,
                        positions_by_channel != 0,
                        static_cast<hinged::Tails>(tails)};
    const Geometry all{outer, channels, inner};
    const CurveTables tables(curves, all.by_pixel() && hinged::compares_quickly(instruction_set));
    const hinged::Kernels& kernels = hinged::kernels_for(instruction_set);
    threads = hinged::worth(threads, all);
    if (number == hinged::kFloat32) {
      hinged::backward_all<float>(kernels, tables, all, x, grad_y, grad_x, grad_values,
                                  grad_tail_slopes, threads);
    } else {
      hinged::backward_all<hinged::BFloat16>(kernels, tables, all, x, grad_y, grad_x, grad_values,
                                             grad_tail_slopes, threads);
    }
    return hinged::kDone;
  } catch (const std::bad_alloc&) {
    return hinged::kOutOfMemory;
  }
}
