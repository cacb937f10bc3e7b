#include "text/normalise.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/utf8.h"
#include "text/unicode.h"
#include "text/unicode_tables.h"

namespace godwit::text {
namespace {

template <size_t n>
bool is_in(const CodePointRange (&ranges)[n], char32_t c) {
  const auto* after = std::upper_bound(
      std::begin(ranges), std::end(ranges), c,
      [](char32_t value, const CodePointRange& range) { return value < range.first; });
  return after != std::begin(ranges) && c <= after[-1].last;
}

struct Character {
  char32_t code_point;
  int combining_class;
};

void take_apart(char32_t c, std::vector<Character>& out) {
  if (is_in(kYoungComposites, c)) {
    out.push_back({c, 0});
    return;
  }
  utf8proc_int32_t parts[8];  // no canonical decomposition has more than four
  int unused = 0;
  const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts, 8,
                                         UTF8PROC_DECOMPOSE, &unused);
  CHECK(n >= 0 && n <= 8);
  for (int i = 0; i < n; ++i) {
    const auto part = static_cast<char32_t>(parts[i]);
    out.push_back({part, combining_class(part)});
  }
}

// 0 if the two do not join.
char32_t join(char32_t first, char32_t second) {
  utf8proc_int32_t pair[] = {static_cast<utf8proc_int32_t>(first),
                             static_cast<utf8proc_int32_t>(second)};
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  if (utf8proc_normalize_utf32(pair, 2, options) != 1) return 0;
  const auto joined = static_cast<char32_t>(pair[0]);
  return is_in(kYoungComposites, joined) ? 0 : joined;
}

void sort_marks(std::vector<Character>& characters) {
  const auto is_starter = [](const Character& c) { return c.combining_class == 0; };
  for (auto begin = characters.begin(); begin != characters.end();) {
    begin = std::find_if_not(begin, characters.end(), is_starter);
    const auto end = std::find_if(begin, characters.end(), is_starter);
    std::stable_sort(begin, end, [](const Character& a, const Character& b) {
      return a.combining_class < b.combining_class;
    });
    begin = end;
  }
}

// A mark joins the last starter unless one of the same or a higher class stands between.
void join_all(std::vector<Character>& characters) {
  size_t kept = 0, starter = characters.size();
  int last_class = 0;
  for (const Character c : characters) {
    if (starter < kept && (last_class == 0 || last_class < c.combining_class)) {
      if (const char32_t joined = join(characters[starter].code_point, c.code_point)) {
        characters[starter].code_point = joined;
        continue;
      }
    }
    if (c.combining_class == 0) starter = kept;
    last_class = c.combining_class;
    characters[kept++] = c;
  }
  characters.resize(kept);
}

// From a character that NFC leaves alone to the next one; what NFC may touch lies between.
struct Stretch {
  size_t begin, end;  // empty if none is left
};

Stretch find_stretch(std::string_view text, size_t from) {
  const CharacterTable& table = CharacterTable::get();
  size_t last_safe = from;
  for (size_t at = from; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      last_safe = at++;
      continue;
    }
    const size_t here = at;
    if (!table.nfc_may_touch(next_code_point(text, at))) {
      last_safe = here;
      continue;
    }
    while (at < text.size()) {
      size_t next = at;
      if (!table.nfc_may_touch(next_code_point(text, next))) break;
      at = next;
    }
    return {last_safe, at};
  }
  return {text.size(), text.size()};
}

}  // namespace

int combining_class(char32_t c) {
  if (is_in(kLateMarks, c)) return 0;
  return utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class;
}

size_t find_nfc_suspect(std::string_view text) {
  const Stretch stretch = find_stretch(text, 0);
  return stretch.begin == stretch.end ? std::string_view::npos : stretch.begin;
}

void append_nfc(std::string_view text, std::string& out) {
  std::vector<Character> characters;
  for (size_t done = 0; done < text.size();) {
    const Stretch stretch = find_stretch(text, done);
    out += text.substr(done, stretch.begin - done);
    characters.clear();
    for (size_t at = stretch.begin; at < stretch.end;)
      take_apart(next_code_point(text, at), characters);
    sort_marks(characters);
    join_all(characters);
    for (const Character& c : characters) append_utf8(c.code_point, out);
    done = stretch.end;
  }
}

}  // namespace godwit::text
