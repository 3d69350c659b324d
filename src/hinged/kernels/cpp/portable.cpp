#include "kernels.hpp"

const char* portable::name() { return "portable"; }
