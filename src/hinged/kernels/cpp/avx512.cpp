#include "kernels.hpp"

const char* avx512::name() { return "avx512"; }
