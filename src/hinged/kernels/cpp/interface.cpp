// The plain C interface, which Python calls through ctypes. It divides the work into tasks, which
// depend only on the shape of the tensor. It adds the sums of the tasks in a fixed order. The
// results are therefore equal bit for bit for any number of threads.
#include <algorithm>
#include <cstdint>
#include <new>
#include <numeric>
#include <vector>

#include "metric.hpp"
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

// The arguments of a call, which `_CALL` in cpu_kernel.py packs. `x`, `grad_y` and `result` have
// the layout (outer, channels, inner). `Curves` in tables.hpp describes the other arrays.
struct Call {
  const void* x;
  const void* grad_y;
  void* result;  // y in forward, the gradient with respect to x in backward
  float* grad_values;
  float* grad_tail_slopes;
  const float* values;
  const float* positions;
  const float* tail_slopes;
  int64_t outer, channels, inner, hinges;
  int32_t number, positions_by_channel, tails, instruction_set, threads;
};

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

// Returns whether comparing an input with every hinge is faster than looking up a line by index. In
// plain C++ it is slower.
bool compares_quickly(int32_t set) { return set != kPortableSet; }

// The sizes of a tensor in memory. The last index is the fastest.
struct Geometry {
  int64_t outer;
  int64_t channels;
  int64_t inner;

  int64_t size() const { return outer * channels * inner; }
  // Returns whether the channels are neighbours, as in channels_last images and rows of features.
  bool by_pixel() const { return inner == 1 && channels > 1; }

  // Returns the number of pixels to treat as one pixel, so that few channels fill whole groups.
  // With few pixels the result is 1, because the larger tables would cost more time than this
  // saves.
  int64_t pixels_as_one() const {
    const int64_t wanted = kGroup / std::gcd<int64_t>(channels, kGroup);
    const bool worth = channels < kFew && outer >= kMany * wanted;
    return worth && outer % wanted == 0 ? wanted : 1;
  }
  Geometry with_as_one(int64_t pixels) const { return {outer / pixels, channels * pixels, inner}; }

 private:
  // With more channels than this, few lanes are idle.
  static constexpr int64_t kFew = 2 * kGroup;
  static constexpr int64_t kMany = 256;
};

int64_t parts(int64_t whole, int64_t part) { return (whole + part - 1) / part; }

// One task: a range of outer indices, a range of channels, and a range of inner indices.
struct Task {
  int64_t outer, outers;
  int64_t channel, channels;
  int64_t inner, inners;
  int64_t section;  // tasks of the same section have different channels
};

// Divides a tensor into tasks. A task has at least 1024 elements of a channel or 256 pixels, if the
// tensor is that large. With smaller tasks, adding the sums of the sections would be expensive.
class Plan {
 public:
  explicit Plan(const Geometry& all) : all_(all) {
    if (all.by_pixel()) {
      // A task has as many neighbouring channels as possible, while there are enough tasks for many
      // threads.
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
  static constexpr int64_t kRun = 1024;
  static constexpr int64_t kPixels = 256;
  Geometry all_;
  int64_t outers_, channels_, inners_;
  int64_t outer_parts_, channel_parts_, inner_parts_;
};

// Calls `work(index)` for each index below `count`.
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

// The smallest number of elements per thread. With fewer elements, starting a thread costs more
// time than it saves.
constexpr int64_t kWorthAThread = 16384;

int32_t worth(int32_t threads, const Geometry& all) {
  return static_cast<int32_t>(std::clamp<int64_t>(all.size() / kWorthAThread, 1, threads));
}

// The tables and the plan of a call, computed before its elements are read.
struct Job {
  Job(const Call& call, const Geometry& given)
      : kernels(kernels_for(call.instruction_set)),
        tables({call.values, call.positions, call.tail_slopes, call.channels, call.hinges,
                call.positions_by_channel != 0, static_cast<Tails>(call.tails)},
               given.by_pixel() && compares_quickly(call.instruction_set), given.pixels_as_one()),
        all(given.with_as_one(tables.repeats())),
        plan(all),
        threads(worth(call.threads, all)) {}
  explicit Job(const Call& call) : Job(call, {call.outer, call.channels, call.inner}) {}

  // Returns the first element of a task.
  int64_t start(const Task& task) const {
    return (task.outer * all.channels + task.channel) * all.inner + task.inner;
  }
  Rows rows(const Task& task) const {
    return {task.outers, task.channels, task.inners, all.channels * all.inner, all.inner};
  }
  // Returns the number of channels with sums. With groups, this includes the padding of the
  // last group.
  int64_t padded_channels() const {
    return tables.by_group() ? parts(all.channels, kGroup) * kGroup : all.channels;
  }
  int64_t sums_by_section() const { return padded_channels() * tables.sums(); }

  const Kernels& kernels;
  const CurveTables tables;
  const Geometry all;
  const Plan plan;
  const int32_t threads;
};

template <class T>
void forward(const Job& job, const T* x, T* y) {
  const KernelsOf<T>& kernels = of<T>(job.kernels);
  const Geometry& all = job.all;
  for_all(job.plan.tasks(), job.threads, [&](int64_t index) {
    const Task task = job.plan[index];
    const int64_t start = job.start(task);
    if (all.by_pixel()) {
      const Pixels pixels{task.outers, task.channels, all.channels};
      if (job.tables.by_group()) {
        return kernels.forward_groups(job.tables.group(task.channel), x + start, y + start, pixels);
      }
      return kernels.forward_tiles(&job.tables.lines(task.channel), x + start, y + start, pixels);
    }
    kernels.forward_rows(&job.tables.lines(task.channel), x + start, y + start, job.rows(task));
  });
}

// `grad_x` and `sums` may be null.
template <class T>
void backward(const Job& job, const T* x, const T* grad_y, T* grad_x, float* sums) {
  const KernelsOf<T>& kernels = of<T>(job.kernels);
  const Geometry& all = job.all;
  const int64_t by_channel = job.tables.sums();
  for_all(job.plan.tasks(), job.threads, [&](int64_t index) {
    const Task task = job.plan[index];
    const int64_t start = job.start(task);
    float* own = sums;
    if (own != nullptr) own += task.section * job.sums_by_section() + task.channel * by_channel;
    const auto moved = [&](int64_t by) { return grad_x == nullptr ? nullptr : grad_x + by; };
    if (all.by_pixel()) {
      const Pixels pixels{task.outers, task.channels, all.channels};
      if (job.tables.by_group()) {
        return kernels.backward_groups(job.tables.group(task.channel), x + start, grad_y + start,
                                       moved(start), own, pixels);
      }
      return kernels.backward_tiles(&job.tables.lines(task.channel), x + start, grad_y + start,
                                    moved(start), own, pixels);
    }
    kernels.backward_rows(&job.tables.lines(task.channel), x + start, grad_y + start, moved(start),
                          own, job.rows(task));
  });
}

// Adds the sums of all sections, and computes the gradients of the curves from the totals.
void add_up(const Job& job, const float* sums, float* grad_values, float* grad_tail_slopes) {
  const CurveTables& tables = job.tables;
  const int64_t lanes = tables.by_group() ? kGroup : 1;  // channels with interleaved sums
  const int64_t size = lanes * tables.sums();
  const int64_t groups = parts(job.all.channels, lanes), run = kGroup / lanes * 2;
  const auto add_sections = [&](int64_t group, double* total) {
    std::fill(total, total + size, 0.0);
    for (int64_t section = 0; section < job.plan.sections(); ++section) {
      const float* part = sums + (section * groups + group) * size;
      for (int64_t i = 0; i < size; ++i) total[i] += part[i];
    }
  };
  if (tables.repeats() > 1) {
    const int64_t channels = job.all.channels / tables.repeats();
    std::vector<double> totals(static_cast<size_t>(channels * tables.sums()));
    for (int64_t group = 0; group < groups; ++group) {
      double total[kMostLines];
      add_sections(group, total);
      for (int64_t i = 0; i < size; ++i) {
        const int64_t channel = (group * lanes + i % lanes) % channels;
        totals[static_cast<size_t>(i / lanes * channels + channel)] += total[i];
      }
    }
    for (int64_t channel = 0; channel < channels; ++channel) {
      tables.gradients(channel, totals.data() + channel, channels, grad_values, grad_tail_slopes);
    }
    return;
  }
  for_all(parts(groups, run), job.threads, [&](int64_t index) {
    double total[kMostLines];
    const int64_t end = std::min((index + 1) * run, groups);
    for (int64_t group = index * run; group < end; ++group) {
      add_sections(group, total);
      for (int64_t lane = 0; lane < lanes && group * lanes + lane < job.all.channels; ++lane) {
        tables.gradients(group * lanes + lane, total + lane, lanes, grad_values, grad_tail_slopes);
      }
    }
  });
}
static_assert(kGroup * (kMostGroupLines + 1) <= kMostLines,
              "the sums of a group fit in the array for the sums of a curve");

template <class T>
void run_forward(const Call& call) {
  forward(Job(call), static_cast<const T*>(call.x), static_cast<T*>(call.result));
}

template <class T>
void run_backward(const Call& call) {
  const Job job(call);
  std::vector<float> sums;
  if (call.grad_values != nullptr) {
    sums.resize(static_cast<size_t>(job.plan.sections() * job.sums_by_section()));
  }
  backward(job, static_cast<const T*>(call.x), static_cast<const T*>(call.grad_y),
           static_cast<T*>(call.result), sums.empty() ? nullptr : sums.data());
  if (!sums.empty()) add_up(job, sums.data(), call.grad_values, call.grad_tail_slopes);
}

// No exception may leave the C interface.
template <class Run>
int32_t outcome_of(Run run) {
  try {
    run();
    return kDone;
  } catch (const std::bad_alloc&) {
    return kOutOfMemory;
  }
}

}  // namespace
}  // namespace hinged

using hinged::Call;

// Returns the instruction sets that were compiled and that this processor has, the fastest first.
// The number of an instruction set in a call is its position in "portable,avx2,avx512".
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

// Changes with every change of the structs that Python packs.
HINGED_EXPORT int32_t hinged_interface() { return 4; }

HINGED_EXPORT int32_t hinged_most_lines() { return hinged::kMostLines; }

// Computes the curves at `x`. Returns an `Outcome`.
HINGED_EXPORT int32_t hinged_forward(const Call* call) {
  return hinged::outcome_of([&] {
    if (call->number == hinged::kFloat32) return hinged::run_forward<float>(*call);
    hinged::run_forward<hinged::BFloat16>(*call);
  });
}

// Computes the gradients whose pointers are not null. Returns an `Outcome`.
HINGED_EXPORT int32_t hinged_backward(const Call* call) {
  return hinged::outcome_of([&] {
    if (call->number == hinged::kFloat32) return hinged::run_backward<float>(*call);
    hinged::run_backward<hinged::BFloat16>(*call);
  });
}

// Takes one step of the values of a layer in their metric. Returns an `Outcome`.
HINGED_EXPORT int32_t hinged_metric_step(const hinged::MetricStep* step) {
  return hinged::outcome_of([&] { hinged::take_step(*step); });
}

// Computes the moments of the inputs of a layer. Returns an `Outcome`.
HINGED_EXPORT int32_t hinged_input_moments(const hinged::InputMoments* call) {
  return hinged::outcome_of([&] {
    if (call->number == hinged::kFloat32) return hinged::add_moments<float>(*call);
    hinged::add_moments<hinged::BFloat16>(*call);
  });
}

// Moves the running mean of moments towards new moments. Returns an `Outcome`.
HINGED_EXPORT int32_t hinged_update_moments(const hinged::MomentsUpdate* update) {
  return hinged::outcome_of([&] { hinged::update_moments(*update); });
}
