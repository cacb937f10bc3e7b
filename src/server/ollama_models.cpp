// Ollama's model list: /api/tags, /api/ps, /api/show, /api/version, and a clear no to what changes
// the list.
#include <chrono>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <utility>

#include "base/folder.h"
#include "base/visible.h"
#include "server/answer.h"
#include "server/ollama.h"

namespace godwit::server {
namespace {

namespace fs = std::filesystem;

// Of the API spoken here. Clients ask for a version before they use tools and thinking.
constexpr const char* kApiVersion = "0.12.6";

struct FileFacts {
  int64_t bytes = 0, modified = 0;  // nanoseconds since 1970
};

FileFacts facts_of(const std::string& path) {
  FileFacts facts;
  std::error_code error;
  const auto add = [&](const fs::path& file) {
    const auto size = fs::file_size(file, error);
    if (!error) facts.bytes += static_cast<int64_t>(size);
    const auto written = fs::last_write_time(file, error);
    if (error) return;
    const auto system = std::chrono::file_clock::to_sys(written).time_since_epoch();
    facts.modified = std::max<int64_t>(
        facts.modified, std::chrono::duration_cast<std::chrono::nanoseconds>(system).count());
  };
  if (fs::is_directory(path, error)) {
    for_each_entry(path, [&](const fs::directory_entry& entry) {
      if (entry.is_regular_file(error)) add(entry.path());
    });
  } else {
    add(path);
  }
  return facts;
}

// 64 hexadecimal digits that stand for the model. (Not a hash of its contents: that would read all
// of it.)
std::string digest_of(const ModelSet::State& state, const FileFacts& facts) {
  uint64_t mixed = 0xcbf29ce484222325;  // FNV-1a
  const auto mix = [&](std::string_view bytes) {
    for (const char c : bytes) mixed = (mixed ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  };
  std::string digest;
  for (const char part : {'a', 'b', 'c', 'd'}) {
    mix(fmt::format("{}{}:{}:{}:{}", part, state.name, state.path, facts.bytes, facts.modified));
    digest += fmt::format("{:016x}", mixed);
  }
  return digest;
}

std::string parameter_size(int64_t count) {
  const auto number = static_cast<double>(count);
  return count >= 1'000'000'000 ? fmt::format("{:.1f}B", number / 1e9)
                                : fmt::format("{:.1f}M", number / 1e6);
}

Json details(const ModelSet::State& state) {
  const bool is_gguf = state.path.ends_with(".gguf");
  Json json = Json::object({{"parent_model", value("")},
                            {"format", value(is_gguf ? "gguf" : "safetensors")},
                            {"family", value("qwen35")},
                            {"families", Json::array({value("qwen35")})},
                            {"parameter_size", value("")},
                            {"quantization_level", value("")}});
  if (state.info) {
    json.set("parameter_size", value(parameter_size(state.info->parameters)));
    json.set("quantization_level", value(state.info->weight_types));
  }
  return json;
}

Json model_json(const ModelSet::State& state) {
  const FileFacts facts = facts_of(state.path);
  return Json::object({{"name", value(state.name)},
                       {"model", value(state.name)},
                       {"modified_at", value(rfc3339(facts.modified))},
                       {"size", value(facts.bytes)},
                       {"digest", value(digest_of(state, facts))},
                       {"details", details(state)}});
}

HttpReply tags(const Api& api) {
  Json::Array list;
  for (const auto& state : api.models.states()) list.push_back(model_json(state));
  return json_reply(Json::object({{"models", Json::array(std::move(list))}}));
}

std::string rfc3339_in(std::chrono::seconds time) {
  const auto then = std::chrono::system_clock::now().time_since_epoch() + time;
  return rfc3339(std::chrono::duration_cast<std::chrono::nanoseconds>(then).count());
}

HttpReply running(const Api& api) {
  Json::Array list;
  for (const auto& state : api.models.states()) {
    if (!state.is_loaded) continue;
    Json json = model_json(state);
    const engine::ModelInfo& info = *state.info;
    json.members().erase(json.members().begin() + 2);  // modified_at
    json.set("size", value(static_cast<int64_t>(info.memory.total())));
    json.set("expires_at", value(state.expires ? rfc3339_in(*state.expires)
                                               : std::string("9999-12-31T23:59:59Z")));
    json.set("size_vram", value(0));
    json.set("context_length", value(info.context));
    list.push_back(std::move(json));
  }
  return json_reply(Json::object({{"models", Json::array(std::move(list))}}));
}

Json model_info(const engine::ModelInfo& info) {
  return Json::object({{"general.architecture", value("qwen35")},
                       {"general.basename", value(info.name)},
                       {"general.parameter_count", value(info.parameters)},
                       {"qwen35.block_count", value(info.layers)},
                       {"qwen35.context_length", value(info.context)},
                       {"qwen35.embedding_length", value(info.hidden)},
                       {"qwen35.expert_count", value(info.experts)}});
}

HttpReply show(const Api& api, const HttpRequest& http) {
  const auto name = [&]() -> Result<std::string> {
    TRY(const Json json, parse_body(http.body));
    TRY(Fields fields, Fields::of(json, ""));
    if (fields.find("name") && !fields.find("model")) return fields.require_string("name");
    return fields.require_string("model");
  }();
  if (!name) return error_reply(Dialect::kOllama, name.error());
  const std::string_view wanted = without_tag(api.models, *name);
  if (!api.models.has(wanted)) {
    return error_reply(Dialect::kOllama, 404, fmt::format("model {} not found", in_quotes(*name)));
  }
  const auto info = api.models.describe(wanted);
  if (!info) return error_reply(Dialect::kOllama, info.error());
  for (const auto& state : api.models.states()) {
    if (state.name != wanted) continue;
    Json::Array capabilities = {value("completion"), value("tools"), value("thinking")};
    if (info->vision) capabilities.push_back(value("vision"));
    return json_reply(
        Json::object({{"license", value("")},
                      {"modelfile", value(fmt::format("FROM {}\n", state.name))},
                      {"parameters", value("")},
                      {"template", value(info->template_name)},
                      {"details", details(state)},
                      {"model_info", model_info(*info)},
                      {"capabilities", Json::array(std::move(capabilities))},
                      {"modified_at", value(rfc3339(facts_of(state.path).modified))}}));
  }
  return error_reply(Dialect::kOllama, 404, "model not found");
}

// A model that is here need not be pulled; all else would change the list.
HttpReply pull(const Api& api, const HttpRequest& http) {
  const auto body = parse_body(http.body);
  const Json* name = body ? body->find("model") : nullptr;
  if (body && !name) name = body->find("name");
  if (name && name->is_string() && api.models.has(without_tag(api.models, name->as_string()))) {
    HttpReply reply = json_reply(Json::object({{"status", value("success")}}));
    reply.body += "\n";
    return reply;
  }
  return error_reply(Dialect::kOllama, 501,
                     "models are not pulled by the server: use `godwit pull`, then `godwit serve`");
}

HttpReply fixed_list(const HttpRequest&) {
  return error_reply(Dialect::kOllama, 501,
                     "the list of models is fixed when the server starts and cannot be changed");
}

HttpReply version(const HttpRequest&) {
  return json_reply(Json::object({{"version", value(kApiVersion)}}));
}

}  // namespace

std::string_view without_tag(const ModelSet& models, std::string_view name) {
  constexpr std::string_view kLatest = ":latest";
  if (!models.has(name) && name.ends_with(kLatest)) name.remove_suffix(kLatest.size());
  return name;
}

std::string rfc3339(int64_t nanoseconds_since_1970) {
  const std::time_t seconds = nanoseconds_since_1970 / 1'000'000'000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     nanoseconds_since_1970 % 1'000'000'000);
}

std::string now_rfc3339() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return rfc3339(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

std::vector<Route> ollama_model_routes(const Api& api) {
  const auto with_api = [&api](auto handler) {
    return [&api, handler](const HttpRequest& http) { return handler(api, http); };
  };
  return {{"GET", "/api/tags", [&api](const HttpRequest&) { return tags(api); }},
          {"GET", "/api/ps", [&api](const HttpRequest&) { return running(api); }},
          {"POST", "/api/show", with_api(show)},
          {"GET", "/api/version", version, "", true},
          {"POST", "/api/pull", with_api(pull)},
          {"POST", "/api/push", fixed_list},
          {"POST", "/api/create", fixed_list},
          {"POST", "/api/copy", fixed_list},
          {"DELETE", "/api/delete", fixed_list},
          {"POST", "/api/blobs/{digest}", fixed_list}};
}

}  // namespace godwit::server
