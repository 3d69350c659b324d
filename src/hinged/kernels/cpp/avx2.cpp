#include "kernels.hpp"

const char* avx2::name() { return "avx2"; }
