// JSON as checkpoints, templates and tools need it: key order and the spelling of numbers are kept.
//
// Parsing is simdjson's (json.cpp is its only user). Depth, size and duplicate keys are handled;
// nothing here throws.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace godwit::checkpoint {

class Json {
 public:
  enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject };
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;

  Json() = default;  // null
  static Json boolean(bool value);
  static Json integer(int64_t value);
  static Json number_literal(std::string text);  // as it stands in JSON: "1.50", "1e3"
  static Json real(double value);  // shortest spelling that reads back, as Python's repr
  static Json string(std::string value);
  static Json array(Array items = {});
  static Json object(Object members = {});

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::kNull; }
  bool is_bool() const { return kind_ == Kind::kBool; }
  bool is_number() const { return kind_ == Kind::kNumber; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_array() const { return kind_ == Kind::kArray; }
  bool is_object() const { return kind_ == Kind::kObject; }
  bool is_integer() const;  // a number without fraction or exponent

  // CHECK the kind.
  bool as_bool() const;
  const std::string& as_string() const;
  const std::string& literal() const;  // a number's spelling
  double as_double() const;
  const Array& items() const;
  Array& items();
  const Object& members() const;
  Object& members();

  // nullopt: not an integer, or out of range.
  std::optional<int64_t> as_int64() const;
  // null: not an object, or no such key.
  const Json* find(std::string_view key) const;
  // Sets or replaces (object).
  void set(std::string key, Json value);

  // Python's json.dumps(ensure_ascii=False): separators ", " and ": ", keys in order, floats as
  // repr writes them.
  std::string dump_python() const;
  // Compact: no spaces, valid JSON.
  std::string dump() const;

  bool operator==(const Json& other) const;  // objects regardless of key order; numbers by value

 private:
  Kind kind_ = Kind::kNull;
  bool bool_ = false;
  std::string text_;  // string or number literal
  Array items_;
  Object members_;
};

// A key that an object has twice: the last value wins, at the first one's place, as in Python; or
// it is an error that names the key.
enum class RepeatedKeys { kLastWins, kRefuse };

// The error names the byte offset or, where simdjson gives none, the reason. max_depth bounds
// nesting.
Result<Json> parse_json(std::string_view text, int max_depth = 256,
                        RepeatedKeys repeated = RepeatedKeys::kLastWins);

}  // namespace godwit::checkpoint
