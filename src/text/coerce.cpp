#include "text/coerce.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>

#include "base/utf8.h"
#include "text/trim.h"

namespace godwit::text {
namespace {

void add_type_name(std::string_view name, SchemaTypes& types) {
  if (name == "null") {
    types.null = true;
  } else if (name == "integer" || name == "int") {
    types.integer = true;
  } else if (name == "number" || name == "float" || name == "double") {
    types.number = true;
  } else if (name == "boolean" || name == "bool") {
    types.boolean = true;
  } else if (name == "object" || name == "dict") {
    types.object = true;
  } else if (name == "array" || name == "list") {
    types.array = true;
  } else if (name == "string" || name == "str") {
    types.string = true;
  } else {
    types.other = true;
  }
}

void add_type_of(const Json& value, SchemaTypes& types) {
  switch (value.kind()) {
    case Json::Kind::kNull:
      types.null = true;
      return;
    case Json::Kind::kBool:
      types.boolean = true;
      return;
    case Json::Kind::kNumber:
      (value.is_integer() ? types.integer : types.number) = true;
      return;
    case Json::Kind::kString:
      types.string = true;
      return;
    case Json::Kind::kArray:
      types.array = true;
      return;
    case Json::Kind::kObject:
      types.object = true;
      return;
  }
}

// "#/$defs/Name" and the like; null if it leads nowhere.
const Json* follow(const std::string& reference, const Json& root) {
  if (!reference.starts_with("#/")) return nullptr;
  const Json* at = &root;
  for (size_t begin = 2; at && begin <= reference.size();) {
    const size_t end = std::min(reference.find('/', begin), reference.size());
    at = at->find(std::string_view(reference).substr(begin, end - begin));
    begin = end + 1;
  }
  return at;
}

// `budget` bounds the schemas looked at: they come from outside and may refer to themselves.
void add_types(const Json& schema, const Json& root, int& budget, SchemaTypes& types) {
  if (--budget < 0 || !schema.is_object()) return;
  if (const Json* type = schema.find("type")) {
    if (type->is_string()) add_type_name(type->as_string(), types);
    if (type->is_array()) {
      for (const Json& name : type->items())
        if (name.is_string()) add_type_name(name.as_string(), types);
    }
  }
  if (const Json* values = schema.find("enum"); values && values->is_array()) {
    for (const Json& value : values->items()) add_type_of(value, types);
  }
  if (const Json* value = schema.find("const")) add_type_of(*value, types);
  for (const char* key : {"anyOf", "oneOf", "allOf"}) {
    const Json* choices = schema.find(key);
    if (!choices || !choices->is_array()) continue;
    for (const Json& choice : choices->items()) add_types(choice, root, budget, types);
  }
  if (const Json* reference = schema.find("$ref"); reference && reference->is_string()) {
    if (const Json* target = follow(reference->as_string(), root))
      add_types(*target, root, budget, types);
  }
}

// The digits zero of Unicode's decimal digits (Nd); nine more follow each.
constexpr char32_t kZeros[] = {
    0x30,    0x660,   0x6f0,   0x7c0,   0x966,   0x9e6,   0xa66,   0xae6,   0xb66,   0xbe6,
    0xc66,   0xce6,   0xd66,   0xde6,   0xe50,   0xed0,   0xf20,   0x1040,  0x1090,  0x17e0,
    0x1810,  0x1946,  0x19d0,  0x1a80,  0x1a90,  0x1b50,  0x1bb0,  0x1c40,  0x1c50,  0xa620,
    0xa8d0,  0xa900,  0xa9d0,  0xa9f0,  0xaa50,  0xabf0,  0xff10,  0x104a0, 0x10d30, 0x11066,
    0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0,
    0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2,
    0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0};

// A number as Python's int() and float() read it, in ASCII: white space around it and single
// underscores between digits dropped, digits of any script made plain. nullopt if a character
// cannot be of a number.
std::optional<std::string> plain_number(std::string_view text) {
  text = trim(text);
  std::string plain;
  bool after_digit = false;
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = read_utf8(text, at);
    if (step.status != Utf8Status::kValid) return std::nullopt;
    at += step.length;
    const char32_t c = step.code_point;
    if (c == '_') {
      // Dropped only between two digits.
      const Utf8Step next =
          at < text.size() ? read_utf8(text, at) : Utf8Step{Utf8Status::kBroken, 0, 0};
      const bool digit_follows =
          next.status == Utf8Status::kValid &&
          std::any_of(std::begin(kZeros), std::end(kZeros),
                      [&](char32_t zero) { return next.code_point - zero < 10; });
      if (!after_digit || !digit_follows) return std::nullopt;
      after_digit = false;
      continue;
    }
    const auto zero =
        std::find_if(std::begin(kZeros), std::end(kZeros), [&](char32_t z) { return c - z < 10; });
    after_digit = zero != std::end(kZeros);
    if (after_digit) {
      plain += static_cast<char>('0' + (c - *zero));
    } else if (c == '+' || c == '-' || c == '.' || c == 'e' || c == 'E') {
      plain += static_cast<char>(c);
    } else {
      return std::nullopt;
    }
  }
  return plain;
}

// Of any size.
std::optional<Json> read_integer(std::string_view text) {
  const auto plain = plain_number(text);
  if (!plain) return std::nullopt;
  std::string_view digits = *plain;
  const bool is_negative = digits.starts_with('-');
  if (is_negative || digits.starts_with('+')) digits.remove_prefix(1);
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos)
    return std::nullopt;
  digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size() - 1));
  return Json::number_literal(fmt::format("{}{}", is_negative && digits != "0" ? "-" : "", digits));
}

// Finite; a whole number has no fraction (3.0 → 3).
std::optional<Json> read_number(std::string_view text) {
  if (auto integer = read_integer(text)) return integer;
  const auto plain = plain_number(text);
  if (!plain) return std::nullopt;
  std::string_view digits = *plain;
  if (digits.starts_with('+')) {
    digits.remove_prefix(1);
    if (digits.starts_with('-')) return std::nullopt;
  }
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size() || !std::isfinite(value))
    return std::nullopt;
  constexpr double kExact = 9007199254740992;  // 2^53
  if (value == std::trunc(value) && std::abs(value) <= kExact)
    return Json::integer(static_cast<int64_t>(value));
  return Json::real(value);
}

std::string lower_ascii(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

}  // namespace

SchemaTypes schema_types(const Json* schema, const Json& root) {
  SchemaTypes types;
  int budget = 256;
  if (schema) add_types(*schema, root, budget, types);
  return types;
}

Json coerce(std::string_view text, const SchemaTypes& types) {
  if (types.is_text()) return Json::string(std::string(text));
  const std::string lower = text.size() <= 5 ? lower_ascii(text) : std::string();
  if (types.null && lower == "null") return {};
  if (types.integer) {
    if (auto value = read_integer(text)) return std::move(*value);
  }
  if (types.number) {
    if (auto value = read_number(text)) return std::move(*value);
  }
  if (types.boolean && (lower == "true" || lower == "1")) return Json::boolean(true);
  if (types.boolean && (lower == "false" || lower == "0")) return Json::boolean(false);
  if (types.string && !types.object && !types.array) return Json::string(std::string(text));
  auto json = checkpoint::parse_json(text, 200);  // the arguments around it stay readable
  const bool is_wanted =
      json && ((types.object && json->is_object()) || (types.array && json->is_array()));
  const bool is_allowed =
      json && !types.string && !(json->is_number() && !std::isfinite(json->as_double()));
  if (is_wanted || is_allowed) return std::move(*json);
  return Json::string(std::string(text));
}

}  // namespace godwit::text
