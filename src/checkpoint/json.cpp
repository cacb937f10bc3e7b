// JSON: simdjson finds the tokens, this file keeps numbers as they are spelled and writes as Python
// does.
//
//   text ──(padded copy, UTF-8 checked)──► simdjson ondemand ──read_value()──► Json tree
//   Json tree ──dump…()──► text
//
// The on-demand parser looks at what is asked for only, so numbers and `null` are checked here,
// against JSON's grammar; and so is that nothing follows the document.
#include "checkpoint/json.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "base/check.h"
#include "base/visible.h"

namespace godwit::checkpoint {
namespace {

namespace ondemand = simdjson::ondemand;

// -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
bool is_json_number(std::string_view text) {
  size_t i = 0;
  const auto digits = [&] {
    const size_t start = i;
    while (i < text.size() && text[i] >= '0' && text[i] <= '9') ++i;
    return i - start;
  };
  if (i < text.size() && text[i] == '-') ++i;
  const bool zero = i < text.size() && text[i] == '0';
  const size_t whole = digits();
  if (whole == 0 || (zero && whole > 1)) return false;
  if (i < text.size() && text[i] == '.') {
    ++i;
    if (digits() == 0) return false;
  }
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
    if (digits() == 0) return false;
  }
  return i == text.size();
}

// A number outside a double's range: is it huge (true) or tiny? From the place of its first digit
// that is not zero.
bool is_huge(std::string_view text) {
  const size_t e = text.find_first_of("eE");
  const std::string_view mantissa = text.substr(0, e);
  double exponent = 0;  // saturates, where an integer would overflow
  if (e != std::string_view::npos) {
    for (const char c : text.substr(e + 1))
      if (c >= '0' && c <= '9') exponent = exponent * 10 + (c - '0');
    if (text[e + 1] == '-') exponent = -exponent;
  }
  const size_t point = std::min(mantissa.find('.'), mantissa.size());
  const size_t first = mantissa.find_first_of("123456789");
  return exponent + static_cast<double>(point) - static_cast<double>(first) > 0;
}

double to_double(std::string_view text) {
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec == std::errc::result_out_of_range) {
    const double magnitude = is_huge(text) ? std::numeric_limits<double>::infinity() : 0.0;
    return text[0] == '-' ? -magnitude : magnitude;
  }
  return value;
}

// Python's repr of a float: the shortest digits that read back; an exponent below 1e-4 and from
// 1e16 on.
std::string python_repr(double value) {
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  char buffer[40];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  const std::string_view text(buffer, end - buffer);  // -d.ddde±xx
  const size_t e = text.find('e');
  int exponent = 0;
  std::from_chars(buffer + e + 1 + (buffer[e + 1] == '+'), end, exponent);
  std::string digits, out;
  for (const char c : text.substr(0, e))
    if (c >= '0' && c <= '9') digits += c;
  if (text[0] == '-') out = "-";
  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (digits.size() > 1) out += "." + digits.substr(1);
    return out + fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) return out + "0." + std::string(-exponent - 1, '0') + digits;
  const size_t whole = exponent + 1;
  if (digits.size() <= whole) return out + digits + std::string(whole - digits.size(), '0') + ".0";
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

void append_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += fmt::format("\\u{:04x}", static_cast<int>(c));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

enum class Style { kPython, kCompact };

void append(std::string& out, const Json& json, Style style) {
  const std::string_view comma = style == Style::kPython ? ", " : ",";
  const std::string_view colon = style == Style::kPython ? ": " : ":";
  switch (json.kind()) {
    case Json::Kind::kNull:
      out += "null";
      return;
    case Json::Kind::kBool:
      out += json.as_bool() ? "true" : "false";
      return;
    case Json::Kind::kNumber:
      if (style == Style::kCompact) {
        out += json.literal();
      } else if (json.is_integer()) {
        out += json.literal() == "-0" ? "0" : json.literal();
      } else {
        out += python_repr(json.as_double());
      }
      return;
    case Json::Kind::kString:
      append_string(out, json.as_string());
      return;
    case Json::Kind::kArray: {
      out += '[';
      bool first = true;
      for (const auto& item : json.items()) {
        if (!std::exchange(first, false)) out += comma;
        append(out, item, style);
      }
      out += ']';
      return;
    }
    case Json::Kind::kObject: {
      out += '{';
      bool first = true;
      for (const auto& [key, value] : json.members()) {
        if (!std::exchange(first, false)) out += comma;
        append_string(out, key);
        out += colon;
        append(out, value, style);
      }
      out += '}';
      return;
    }
  }
}

// As a Python dict: a later value of a key takes the place of the first one. A key that was there
// twice, if any.
std::optional<std::string> drop_duplicates(Json::Object& members) {
  std::unordered_map<std::string_view, size_t> places;
  places.reserve(members.size());
  std::vector<size_t> repeated;
  std::optional<std::string> first_repeated;
  for (size_t i = 0; i < members.size(); ++i) {
    const auto [place, is_new] = places.try_emplace(members[i].first, i);
    if (is_new) continue;
    if (!first_repeated) first_repeated = members[i].first;
    members[place->second].second = std::move(members[i].second);
    repeated.push_back(i);
  }
  size_t kept = 0, dropped = 0;
  for (size_t i = 0; i < members.size(); ++i) {
    if (dropped < repeated.size() && repeated[dropped] == i) {
      ++dropped;
    } else {
      if (kept != i) members[kept] = std::move(members[i]);
      ++kept;
    }
  }
  members.erase(members.begin() + static_cast<ptrdiff_t>(kept), members.end());
  return first_repeated;
}

class Reader {
 public:
  // The text becomes the one item of an array: simdjson treats a bare scalar unlike other values.
  Reader(std::string_view text, RepeatedKeys repeated) : size_(text.size()), repeated_(repeated) {
    wrapped_.reserve(text.size() + 2 + simdjson::SIMDJSON_PADDING);
    wrapped_.append("[").append(text).append("]");
  }

  Result<Json> read(int max_depth) {
    const simdjson::padded_string_view view(wrapped_.data(), wrapped_.size(), wrapped_.capacity());
    if (const auto error = parser_.iterate(view).get(document_)) return fault(error);
    ondemand::value root;
    if (const auto error = document_.get_value().get(root)) return fault(error);
    TRY(Json json, read_array(root, max_depth + 1));
    const char* place = nullptr;
    if (json.items().empty()) return bad_input("malformed JSON: expected a value, found nothing");
    if (json.items().size() > 1 ||
        document_.current_location().get(place) != simdjson::OUT_OF_BOUNDS)
      return bad_input("malformed JSON: expected one value, found more after it");
    return std::move(json.items()[0]);
  }

 private:
  Result<Json> read_value(ondemand::value& value, int depth) {
    ondemand::json_type type{};
    if (const auto error = value.type().get(type)) return fault(error);
    switch (type) {
      case ondemand::json_type::array:
        return read_array(value, depth);
      case ondemand::json_type::object:
        return read_object(value, depth);
      case ondemand::json_type::string: {
        std::string_view text;
        if (const auto error = value.get_string().get(text)) return fault(error);
        return Json::string(std::string(text));
      }
      case ondemand::json_type::boolean: {
        bool flag = false;
        if (const auto error = value.get_bool().get(flag)) return fault(error);
        return Json::boolean(flag);
      }
      case ondemand::json_type::number: {
        // Left unread: what does not fit a double is a number all the same. The iterator steps over
        // it.
        const std::string_view token = value.raw_json_token();
        std::string literal(token.substr(0, token.find_last_not_of(" \t\r\n") + 1));
        if (!is_json_number(literal)) return fault("malformed number");
        return Json::number_literal(std::move(literal));
      }
      case ondemand::json_type::null: {
        bool is_null = false;
        if (const auto error = value.is_null().get(is_null)) return fault(error);
        if (!is_null) return fault("expected null");
        return Json();
      }
    }
    return fault("unknown kind of value");
  }

  Result<Json> read_array(ondemand::value& value, int depth) {
    if (depth == 0) return fault("nested too deeply");
    ondemand::array array;
    if (const auto error = value.get_array().get(array)) return fault(error);
    Json::Array items;
    for (auto item : array) {
      ondemand::value inner;
      if (const auto error = std::move(item).get(inner)) return fault(error);
      TRY(Json read, read_value(inner, depth - 1));
      items.push_back(std::move(read));
    }
    return Json::array(std::move(items));
  }

  Result<Json> read_object(ondemand::value& value, int depth) {
    if (depth == 0) return fault("nested too deeply");
    ondemand::object object;
    if (const auto error = value.get_object().get(object)) return fault(error);
    Json::Object members;
    for (auto entry : object) {
      ondemand::field field;
      if (const auto error = std::move(entry).get(field)) return fault(error);
      std::string_view key;
      if (const auto error = field.unescaped_key().get(key)) return fault(error);
      std::string name(key);
      TRY(Json read, read_value(field.value(), depth - 1));
      members.emplace_back(std::move(name), std::move(read));
    }
    const auto repeated = drop_duplicates(members);
    if (repeated && repeated_ == RepeatedKeys::kRefuse)
      return bad_input("key {}: expected once, found twice", in_quotes(*repeated));
    return Json::object(std::move(members));
  }

  tl::unexpected<Error> fault(simdjson::error_code code) {
    std::string_view reason = simdjson::error_message(code);
    return fault(reason.substr(0, reason.find_last_not_of(". \n") + 1));
  }
  tl::unexpected<Error> fault(std::string_view reason) {
    const char* place = nullptr;
    if (document_.is_alive() && document_.current_location().get(place) == simdjson::SUCCESS) {
      const ptrdiff_t offset = place - wrapped_.data() - 1;
      if (offset >= 0 && offset < static_cast<ptrdiff_t>(size_))
        return bad_input("malformed JSON near byte {}: {}", offset, reason);
    }
    return bad_input("malformed JSON: {}", reason);
  }

  std::string wrapped_;
  size_t size_;
  RepeatedKeys repeated_;
  ondemand::parser parser_;
  ondemand::document document_;
};

}  // namespace

Json Json::boolean(bool value) {
  Json json;
  json.kind_ = Kind::kBool;
  json.bool_ = value;
  return json;
}

Json Json::integer(int64_t value) { return number_literal(std::to_string(value)); }

Json Json::number_literal(std::string text) {
  CHECK(is_json_number(text));
  Json json;
  json.kind_ = Kind::kNumber;
  json.text_ = std::move(text);
  return json;
}

Json Json::real(double value) {
  if (std::isnan(value)) return {};
  if (std::isinf(value)) return number_literal(value < 0 ? "-1e999" : "1e999");
  return number_literal(python_repr(value));
}

Json Json::string(std::string value) {
  Json json;
  json.kind_ = Kind::kString;
  json.text_ = std::move(value);
  return json;
}

Json Json::array(Array items) {
  Json json;
  json.kind_ = Kind::kArray;
  json.items_ = std::move(items);
  return json;
}

Json Json::object(Object members) {
  Json json;
  json.kind_ = Kind::kObject;
  json.members_ = std::move(members);
  return json;
}

bool Json::is_integer() const {
  return is_number() && text_.find_first_of(".eE") == std::string::npos;
}

bool Json::as_bool() const {
  CHECK(is_bool());
  return bool_;
}
const std::string& Json::as_string() const {
  CHECK(is_string());
  return text_;
}
const std::string& Json::literal() const {
  CHECK(is_number());
  return text_;
}
double Json::as_double() const {
  CHECK(is_number());
  return to_double(text_);
}
const Json::Array& Json::items() const {
  CHECK(is_array());
  return items_;
}
Json::Array& Json::items() {
  CHECK(is_array());
  return items_;
}
const Json::Object& Json::members() const {
  CHECK(is_object());
  return members_;
}
Json::Object& Json::members() {
  CHECK(is_object());
  return members_;
}

std::optional<int64_t> Json::as_int64() const {
  if (!is_integer()) return std::nullopt;
  int64_t value = 0;
  if (std::from_chars(text_.data(), text_.data() + text_.size(), value).ec != std::errc())
    return std::nullopt;
  return value;
}

const Json* Json::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  for (const auto& [name, value] : members_)
    if (name == key) return &value;
  return nullptr;
}

void Json::set(std::string key, Json value) {
  CHECK(is_object());
  for (auto& [name, old] : members_) {
    if (name != key) continue;
    old = std::move(value);
    return;
  }
  members_.emplace_back(std::move(key), std::move(value));
}

std::string Json::dump_python() const {
  std::string out;
  append(out, *this, Style::kPython);
  return out;
}

std::string Json::dump() const {
  std::string out;
  append(out, *this, Style::kCompact);
  return out;
}

bool Json::operator==(const Json& other) const {
  if (kind_ != other.kind_) return false;
  switch (kind_) {
    case Kind::kNull:
      return true;
    case Kind::kBool:
      return bool_ == other.bool_;
    case Kind::kString:
      return text_ == other.text_;
    case Kind::kArray:
      return items_ == other.items_;
    case Kind::kNumber:
      if (is_integer() && other.is_integer() && text_ != "-0" && other.text_ != "-0")
        return text_ == other.text_;
      return as_double() == other.as_double();
    case Kind::kObject:
      if (members_.size() != other.members_.size()) return false;
      return std::all_of(members_.begin(), members_.end(), [&](const auto& member) {
        const Json* found = other.find(member.first);
        return found && *found == member.second;
      });
  }
  return false;
}

Result<Json> parse_json(std::string_view text, int max_depth, RepeatedKeys repeated) {
  CHECK(max_depth > 0 && max_depth < 1000);  // simdjson's own bound is 1024
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  return Reader(text, repeated).read(max_depth);
}

}  // namespace godwit::checkpoint
