// Reading a request's JSON, each value knowing where it stands, so that a wrong type is refused as
// "messages[2].content[0].image_url.url: expected string, found number"; and short words for
// writing JSON.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "checkpoint/json.h"

namespace godwit::server {

using checkpoint::Json;

inline Json value(std::string_view text) { return Json::string(std::string(text)); }
inline Json value(const char* text) { return Json::string(text); }
inline Json value(std::string text) { return Json::string(std::move(text)); }
inline Json value(bool truth) { return Json::boolean(truth); }
inline Json value(int number) { return Json::integer(number); }
inline Json value(int64_t number) { return Json::integer(number); }
inline Json value(double number) { return Json::real(number); }

// "string", "number", … as the errors say it.
std::string_view kind_name(const Json& json);

// A request's body: valid UTF-8 (an escape that is half of a character stands for U+FFFD), nested
// at most 64 deep, at most two million values (a value takes about a hundred bytes, so a body of
// commas would otherwise grow fiftyfold), an object.
Result<Json> parse_body(std::string_view body);
// Halves of a character as escapes, "\ud83d" with no other half beside it, become U+FFFD: clients
// cut a text in the middle of an emoji. (parse_body() does so; for JSON within a string.)
void replace_halves(std::string& json);

// An object that is being read. Absent and null are the same. Keys that nobody asked for, of it and
// of the objects that were opened in it, are told in the log (note_unknown), never refused.
class Fields {
 public:
  // `path`: where the object stands; empty for the body itself.
  static Result<Fields> of(const Json& json, std::string path);
  // An object somewhere in this one.
  Result<Fields> open(const Json& json, std::string path) const;

  const std::string& path() const { return path_; }
  std::string path_of(std::string_view key) const;  // "messages[2].content"

  // null: absent or null.
  const Json* find(std::string_view key);
  // Each leaves `target` alone if there is nothing.
  Status read(std::string_view key, bool& target);
  Status read(std::string_view key, std::string& target);
  Status read(std::string_view key, int& target, int least, int most);
  Status read(std::string_view key, double& target, double least, double most);
  Status read(std::string_view key, float& target, double least, double most);
  Status read(std::string_view key, uint64_t& target);  // any integer, also negative
  template <class T, class... Limits>
  Status read(std::string_view key, std::optional<T>& target, Limits... limits) {
    T found{};
    if (!find(key)) return {};
    TRY_STATUS(read(key, found, limits...));
    target = std::move(found);
    return {};
  }
  // A list of strings, or one string alone.
  Status read(std::string_view key, std::vector<std::string>& target);

  Result<std::string> require_string(std::string_view key);
  // null: absent. Otherwise a list, or an object whose keys are anybody's.
  Result<const Json*> find_list(std::string_view key);
  Result<const Json*> find_map(std::string_view key);
  Result<std::optional<Fields>> find_object(std::string_view key);

  // The objects of a list; none: absent.
  Result<std::vector<Fields>> find_objects(std::string_view key);

  // "expected X, found Y" at a key.
  tl::unexpected<Error> wrong(std::string_view key, std::string_view expected) const;
  // Known and unused: no note in the log, but a wrong type is refused (json_fields.cpp has the
  // types).
  Status ignore(std::initializer_list<std::string_view> keys);
  // The rest of the object is not read, and why is told elsewhere.
  void ignore_rest();
  // Of the elements of a list, the first one's is told.
  void note_unknown(std::string_view route) const;

 private:
  // Of each object that was opened, the keys that nobody has asked for yet.
  struct Unread {
    std::string path;
    std::vector<std::string> keys;
  };
  using Notes = std::deque<Unread>;
  Fields(const Json& json, std::string path, std::shared_ptr<Notes> notes);

  const Json* json_;
  std::string path_;
  std::shared_ptr<Notes> notes_;  // of the whole body; null: nobody reads the log
  Unread* unread_ = nullptr;      // in the notes
};

}  // namespace godwit::server
