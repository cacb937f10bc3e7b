#include "server/media_source.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "base/mapped_file.h"
#include "base/visible.h"
#include "server/http.h"

namespace godwit::server {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr size_t kMaxMediaBytes = size_t{64} << 20;
constexpr int kFetchSeconds = 20;

constexpr std::array<int8_t, 256> kDigits = [] {
  std::array<int8_t, 256> digits{};
  digits.fill(-1);
  for (size_t i = 0; i < kAlphabet.size(); ++i)
    digits[static_cast<unsigned char>(kAlphabet[i])] = static_cast<int8_t>(i);
  return digits;
}();

// "image/png;base64,iVBOR…" (after "data:").
Result<std::string> read_data_url(std::string_view url, std::string_view kind) {
  const size_t comma = url.find(',');
  if (comma == std::string_view::npos) return bad_input("expected data:TYPE;base64,BYTES");
  const std::string_view head = url.substr(0, comma);
  const size_t semicolon = head.rfind(';');
  if (semicolon == std::string_view::npos ||
      !equal_ignoring_case(head.substr(semicolon + 1), "base64"))
    return bad_input("expected a data URL in base64");
  const std::string_view type = head.substr(0, head.find(';'));
  const bool untyped = type.empty() || type == "application/octet-stream";
  const bool fits = type.size() > kind.size() && type[kind.size()] == '/' &&
                    equal_ignoring_case(type.substr(0, kind.size()), kind);
  if (!untyped && !fits)
    return bad_input("expected a data URL of type {}/…, found {}", kind, in_quotes(type));
  return decode_base64(url.substr(comma + 1));
}

bool is_inside(const fs::path& path, const fs::path& root) {
  auto part = path.begin();
  for (const fs::path& step : root) {
    if (step.empty()) continue;  // a trailing slash
    if (part == path.end() || *part != step) return false;
    ++part;
  }
  return part != path.end();
}

}  // namespace

Result<std::string> decode_base64(std::string_view text) {
  std::string unwrapped;
  if (text.find_first_of("\r\n") != std::string_view::npos) {  // as MIME encoders wrap it
    std::remove_copy_if(text.begin(), text.end(), std::back_inserter(unwrapped),
                        [](char c) { return c == '\r' || c == '\n'; });
    text = unwrapped;
  }
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  const size_t digits = text.size() - padding;
  if ((padding > 0 && text.size() % 4 != 0) || digits % 4 == 1) {
    return bad_input("base64: expected a multiple of 4 characters with the padding, found {}",
                     text.size());
  }
  std::string bytes;
  bytes.reserve(digits / 4 * 3 + 2);
  uint32_t bits = 0;
  int held = 0;  // of the bits, those that are in no byte yet
  for (size_t i = 0; i < digits; ++i) {
    const int digit = kDigits[static_cast<unsigned char>(text[i])];
    if (digit < 0) return bad_input("base64: character {} is not of the alphabet", i);
    bits = bits << 6 | static_cast<uint32_t>(digit);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes += static_cast<char>(bits >> held & 0xFF);
  }
  if ((bits & ((1U << held) - 1)) != 0) return bad_input("base64: bits are left over at the end");
  return bytes;
}

std::string encode_base64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j)
      bits = bits << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0);
    for (size_t j = 0; j < 4; ++j)
      text += i + j <= bytes.size() ? kAlphabet[bits >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

Result<std::shared_ptr<const text::MediaBytes>> MediaSource::from_url(
    const std::string& url, std::string_view kind, const std::string& name) const {
  const std::string_view view = url;
  Result<std::string> bytes =
      bad_input("expected a data:, file:// or http(s):// URL, found {}", in_quotes(view));
  if (equal_ignoring_case(view.substr(0, 5), "data:")) {
    bytes = read_data_url(view.substr(5), kind);
  } else if (equal_ignoring_case(view.substr(0, 7), "file://")) {
    bytes = read_file_url(view.substr(7));
  } else if (equal_ignoring_case(view.substr(0, 7), "http://") ||
             equal_ignoring_case(view.substr(0, 8), "https://")) {
    if (remote_) {
      bytes = fetch_url(url, kMaxMediaBytes, kFetchSeconds, is_public_address);
    } else {
      bytes =
          bad_input("remote media are off (--remote-media turns them on); send a data URL instead");
    }
  }
  if (!bytes) return in_context(name, std::move(bytes.error()));
  if (bytes->empty())
    return bad_input("{}: expected the bytes of {} {}, found none", name,
                     kind == "image" ? "an" : "a", kind);
  auto media = std::make_shared<text::MediaBytes>();
  media->name = name;
  media->bytes = std::make_shared<const std::string>(std::move(*bytes));
  return media;
}

Result<std::shared_ptr<const text::MediaBytes>> MediaSource::from_base64(std::string_view base64,
                                                                         const std::string& name) {
  auto bytes = decode_base64(base64);
  if (!bytes) return in_context(name, std::move(bytes.error()));
  if (bytes->empty()) return bad_input("{}: expected a picture, found no bytes", name);
  auto media = std::make_shared<text::MediaBytes>();
  media->name = name;
  media->bytes = std::make_shared<const std::string>(std::move(*bytes));
  return media;
}

// One answer for all that is not there or not allowed: what lies elsewhere is nobody's business.
Result<std::string> MediaSource::read_file_url(std::string_view url) const {
  std::string path;
  if (url.starts_with("localhost/")) url.remove_prefix(9);
  if (!percent_decode(url, path) || !path.starts_with('/'))
    return bad_input("expected file:///ABSOLUTE/PATH");
  const auto refused = [] {
    return bad_input("expected a file under a folder named by --media-root, found none there");
  };
  std::error_code ec;
  const fs::path real = fs::canonical(path, ec);  // links followed
  if (ec) return refused();
  for (const std::string& root : roots_) {
    const fs::path folder = fs::canonical(root, ec);
    if (ec || !is_inside(real, folder)) continue;
    if (!fs::is_regular_file(real, ec)) return refused();
    auto bytes = read_file(real.string(), kMaxMediaBytes);
    if (bytes) return bytes;
    // Its own words would name the place behind links.
    return bad_input("cannot read that file, or it is larger than {} bytes", kMaxMediaBytes);
  }
  return refused();
}

}  // namespace godwit::server
