#include "cli/made_up.h"

#include <array>
#include <cstdint>

namespace godwit::cli {
namespace {

constexpr const char* kWords[] = {"river", "stone",  "green", "walks", "under", "seven", "paper",
                                  "light", "quick",  "house", "north", "wind",  "opens", "small",
                                  "bread", "winter", "tells", "story", "wheel", "glass"};

void append_u32(std::string& bytes, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(value >> shift));
}

// ISO 3309, bit by bit.
uint32_t crc32(const std::string& bytes) {
  uint32_t crc = ~0u;
  for (const char c : bytes) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? (crc >> 1) ^ 0xedb88320u : crc >> 1;
  }
  return ~crc;
}

void append_chunk(std::string& png, const std::string& type_and_data) {
  append_u32(png, static_cast<uint32_t>(type_and_data.size() - 4));
  png += type_and_data;
  append_u32(png, crc32(type_and_data));
}

// zlib's format with stored blocks: nothing is compressed.
std::string stored(const std::string& data) {
  constexpr size_t kBlock = 65535;
  std::string out = "\x78\x01";
  uint32_t a = 1, b = 0;
  for (const char c : data) a = (a + static_cast<uint8_t>(c)) % 65521, b = (b + a) % 65521;
  for (size_t at = 0; at < data.size(); at += kBlock) {
    const size_t n = std::min(kBlock, data.size() - at);
    out.push_back(at + n == data.size() ? 1 : 0);
    for (const size_t length : {n, ~n}) {
      out.push_back(static_cast<char>(length));
      out.push_back(static_cast<char>(length >> 8));
    }
    out.append(data, at, n);
  }
  append_u32(out, b << 16 | a);
  return out;
}

}  // namespace

std::string Words::sentence() {
  std::string text;
  for (int i = 0; i < 9; ++i)
    text += std::string(i ? " " : "") + kWords[random_() % std::size(kWords)];
  return text + " " + std::to_string(random_() % 1000) + ".\n";
}

std::string Words::text(const engine::Engine& engine, int64_t tokens) {
  std::string all;
  for (int64_t have = 0; have < tokens;) {
    std::string next = sentence();
    // The last one is cut at a word.
    while (have + static_cast<int64_t>(engine.tokenize(next, false).size()) > tokens &&
           next.find(' ') != std::string::npos)
      next.resize(next.rfind(' '));
    have += static_cast<int64_t>(engine.tokenize(next, false).size());
    all += next;
  }
  return all;
}

checkpoint::Json made_up_tool(Words& words, int index) {
  using checkpoint::Json;
  const auto word = [&] { return std::string(kWords[words.number() % std::size(kWords)]); };
  Json properties = Json::object();
  for (int i = 0; i < 4; ++i)
    properties.set(word() + std::to_string(i),
                   Json::object({{"type", Json::string("string")},
                                 {"description", Json::string(word() + " " + word())}}));
  return Json::object(
      {{"type", Json::string("function")},
       {"function",
        Json::object({{"name", Json::string(word() + "_" + std::to_string(index))},
                      {"description", Json::string(word() + " " + word() + " " + word())},
                      {"parameters", Json::object({{"type", Json::string("object")},
                                                   {"properties", std::move(properties)}})}})}});
}

std::shared_ptr<const text::MediaBytes> made_up_picture(Words& words) {
  constexpr int kSide = 256;
  std::string rows;
  const uint64_t tint = words.number();
  for (int y = 0; y < kSide; ++y) {
    rows.push_back(0);  // no filter
    for (int x = 0; x < kSide; ++x)
      for (const int value : {x, y, static_cast<int>(x * y + tint)})
        rows.push_back(static_cast<char>(value));
  }
  std::string png = "\x89PNG\r\n\x1a\n", header = "IHDR";
  append_u32(header, kSide);
  append_u32(header, kSide);
  header += std::string("\x08\x02\x00\x00\x00", 5);  // 8 bits, RGB
  append_chunk(png, header);
  append_chunk(png, "IDAT" + stored(rows));
  append_chunk(png, "IEND");
  auto media = std::make_shared<text::MediaBytes>();
  media->name = "made-up.png";
  media->bytes = std::make_shared<const std::string>(std::move(png));
  return media;
}

}  // namespace godwit::cli
