// What every instruction set offers, each in a namespace of its own.
#pragma once

namespace portable {
const char* name();
}

namespace avx2 {
const char* name();
}

namespace avx512 {
const char* name();
}
