// GGUF v2 and v3: metadata and tensors, memory-mapped, nothing believed. Split files are joined.
// This file knows the container only; what Qwen3.5's names mean is model/'s business.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/function_ref.h"
#include "checkpoint/tensor_source.h"

namespace godwit::checkpoint {

struct GgufArray;
// Integers are widened (unsigned above INT64_MAX is refused), floats are doubles.
using GgufValue = std::variant<bool, int64_t, double, std::string, GgufArray>;
struct GgufArray {
  std::variant<std::vector<int64_t>, std::vector<double>, std::vector<bool>,
               std::vector<std::string>>
      items;
};

// What to do with tensors of a type that dtype.h does not have (IQ1_S, TQ2_0, …): an error that
// names them, or leave them out of names() and find().
enum class UnknownTypes { kRefuse, kLeaveOut };

class GgufFile : public TensorSource {
 public:
  // Opens PATH and, if it is one of a split set (…-00001-of-00003.gguf), the others beside it. The
  // metadata are those of the first.
  static Result<std::unique_ptr<GgufFile>> open(const std::string& path,
                                                UnknownTypes unknown = UnknownTypes::kRefuse);

  virtual const std::map<std::string, GgufValue, std::less<>>& metadata() const = 0;

  // Typed look-ups; a key with another type is an error that names both types; a missing one is
  // `fallback` where given, else an error.
  Result<int64_t> integer(std::string_view key) const;
  Result<int64_t> integer_or(std::string_view key, int64_t fallback) const;
  Result<double> real(std::string_view key) const;  // an integer is accepted
  Result<double> real_or(std::string_view key, double fallback) const;
  Result<std::string> text(std::string_view key) const;
  Result<std::string> text_or(std::string_view key, std::string fallback) const;
  Result<bool> flag_or(std::string_view key, bool fallback) const;
  const std::vector<std::string>* strings(
      std::string_view key) const;  // null if missing or not an array of strings
  const std::vector<int64_t>* integers(std::string_view key) const;
  const std::vector<bool>* flags(std::string_view key) const;
};

// Writing (quantize, tests). Shapes are ours (slowest first); alignment 32; version 3.
// Values get the types that other engines look for: integers u32, or i32 / i64 where negative or
// large; reals f32; arrays of integers i32 where they fit. general.alignment and split.* are the
// container's own and are left out.
struct GgufWriter {
  std::vector<std::pair<std::string, GgufValue>> metadata;
  std::vector<NamedTensor> tensors;
  // Tensors whose view has no data are made while the file is written, in their order, in as many
  // pieces as is convenient: make(i, sink) gives all bytes of tensors[i] to the sink.
  using Sink = FunctionRef<Status(std::span<const std::byte>)>;
  std::function<Status(size_t, Sink)> make;
  Status write(const std::string& path) const;
};

}  // namespace godwit::checkpoint
