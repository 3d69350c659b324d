// The C interface of the library, and the choice of an instruction set when it is loaded.
#include <string>

#include "kernels.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

#ifdef _WIN32
#define HINGED_API extern "C" __declspec(dllexport)
#else
#define HINGED_API extern "C" __attribute__((visibility("default")))
#endif

namespace {

std::string find_instruction_sets() {
    std::string sets;
#if defined(HINGED_AVX512) && defined(__GNUC__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        sets = sets + avx512::name() + ",";
#endif
#if defined(HINGED_AVX2) && defined(__GNUC__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        sets = sets + avx2::name() + ",";
#endif
    return sets + portable::name();
}

}  // namespace

// Comma-separated names of what this processor can run, the fastest first.
HINGED_API const char* hinged_instruction_sets() {
    static const std::string sets = find_instruction_sets();
    return sets.c_str();
}

// 1 if loops are shared among threads, 0 if the library was built without OpenMP.
HINGED_API int hinged_uses_openmp() {
#ifdef _OPENMP
    return omp_get_max_threads() > 0;
#else
    return 0;
#endif
}
