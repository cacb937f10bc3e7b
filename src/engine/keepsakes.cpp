#include "engine/keepsakes.h"

#include <cstring>

namespace godwit::engine {
namespace {

using cache::Bytes;
using checkpoint::Json;

Bytes bytes_of(std::string_view text) {
  Bytes bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

const std::string* string_at(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  return value && value->is_string() ? &value->as_string() : nullptr;
}

}  // namespace

cache::Record turn_record(const cache::Hash128& before, const Turn& turn) {
  Json calls = Json::array();
  for (const auto& call : turn.message.tool_calls) {
    calls.items().push_back(Json::array({Json::string(call.name), call.arguments}));
  }
  Json tokens = Json::array();
  for (int32_t id : turn.tokens) tokens.items().push_back(Json::integer(id));
  const std::string text =
      Json::object({{"reasoning", Json::string(turn.message.reasoning_content)},
                    {"content", Json::string(turn.message.content)},
                    {"calls", std::move(calls)},
                    {"tokens", std::move(tokens)}})
          .dump();
  const cache::Hash128 both[] = {before, cache::hash_bytes(text)};
  return {cache::RecordKind::kTurn,
          cache::hash_bytes(both, sizeof both),
          {before, 0, 0, bytes_of(text)},
          {},
          {}};
}

std::optional<Turn> turn_from(const cache::RecordFacts& facts) {
  const auto json =
      checkpoint::parse_json({reinterpret_cast<const char*>(facts.head.data()), facts.head.size()});
  if (!json || !json->is_object()) return std::nullopt;
  const std::string *reasoning = string_at(*json, "reasoning"),
                    *content = string_at(*json, "content");
  const Json *calls = json->find("calls"), *tokens = json->find("tokens");
  if (!reasoning || !content || !calls || !calls->is_array() || !tokens || !tokens->is_array())
    return std::nullopt;
  Turn turn;
  turn.message.reasoning_content = *reasoning;
  turn.message.content = *content;
  for (const Json& call : calls->items()) {
    if (!call.is_array() || call.items().size() != 2 || !call.items()[0].is_string())
      return std::nullopt;
    turn.message.tool_calls.push_back({"", call.items()[0].as_string(), call.items()[1]});
  }
  for (const Json& id : tokens->items())
    turn.tokens.push_back(static_cast<int32_t>(id.as_int64().value_or(-1)));
  return turn;
}

cache::Record vision_record(const media::ContentHash& source, const MediaFacts& facts,
                            const VisionRows& rows) {
  cache::Record record{cache::RecordKind::kVision,
                       {facts.content.low, facts.content.high},
                       {{source.low, source.high}, 0, 0, {}},
                       {},
                       {}};
  const size_t seconds = facts.slice_seconds.size() * sizeof(double);
  record.facts.head = Bytes(sizeof facts.grid + seconds);
  std::memcpy(record.facts.head.data(), &facts.grid, sizeof facts.grid);
  if (seconds)
    std::memcpy(record.facts.head.data() + sizeof facts.grid, facts.slice_seconds.data(), seconds);
  record.body = Bytes(rows.size() * sizeof(float));
  std::memcpy(record.body.data(), rows.data(), record.body.size());
  return record;
}

std::optional<MediaFacts> media_facts_from(const cache::Hash128& content,
                                           const cache::RecordFacts& facts) {
  MediaFacts known{{content.low, content.high}, {}, {}};
  if (facts.head.size() < sizeof known.grid ||
      (facts.head.size() - sizeof known.grid) % sizeof(double) != 0)
    return std::nullopt;
  std::memcpy(&known.grid, facts.head.data(), sizeof known.grid);
  known.slice_seconds.resize((facts.head.size() - sizeof known.grid) / sizeof(double));
  if (!known.slice_seconds.empty()) {
    std::memcpy(known.slice_seconds.data(), facts.head.data() + sizeof known.grid,
                known.slice_seconds.size() * sizeof(double));
  }
  return known;
}

}  // namespace godwit::engine
