#pragma once

namespace godwit::cli {
inline constexpr const char* kVersion = GODWIT_VERSION;
}
