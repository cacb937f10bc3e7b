// What the two files of Ollama's API share.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "server/api.h"

namespace godwit::server {

// Ollama's names carry a tag; "nano:latest" is "nano" unless a model is called so.
std::string_view without_tag(const ModelSet& models, std::string_view name);

// "keep_alive": how long a model that nobody uses stays; negative: for ever.
Result<std::optional<std::chrono::seconds>> read_keep_alive(Fields& fields);

// "2025-11-24T14:37:44.123456789Z"
std::string rfc3339(int64_t nanoseconds_since_1970);
std::string now_rfc3339();

}  // namespace godwit::server
