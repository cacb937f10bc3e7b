#include "server/http.h"

#include <algorithm>

#include "server/json_fields.h"

namespace godwit::server {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char l = lower(c);
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

// OpenAI's and Anthropic's words for a status.
std::string_view error_type(Dialect dialect, int status) {
  const bool anthropic = dialect == Dialect::kAnthropic;
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return anthropic ? "not_found_error" : "invalid_request_error";
    case 413:
      return anthropic ? "request_too_large" : "invalid_request_error";
    case 429:
      return "rate_limit_error";
    case 503:
    case 529:
      return anthropic ? "overloaded_error" : "server_error";
    default:
      return status < 500 ? "invalid_request_error" : anthropic ? "api_error" : "server_error";
  }
}

// "messages[2].content: expected …" → "messages[2].content"
std::string_view field_of(std::string_view message) {
  const size_t colon = message.find(": ");
  if (colon == std::string_view::npos) return {};
  const std::string_view field = message.substr(0, colon);
  const bool is_path = std::all_of(field.begin(), field.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '[' || c == ']';
  });
  return is_path ? field : std::string_view();
}

Json error_code(int status, std::string_view message) {
  if (status == 401) return value("invalid_api_key");
  if (status == 404 && message.find("model") != std::string_view::npos)
    return value("model_not_found");
  if (is_too_long(message)) return value(kTooLong);
  return {};
}

}  // namespace

bool is_too_long(std::string_view message) {
  return message.find("prompt is too long") != std::string_view::npos;
}

std::string_view HttpRequest::header(std::string_view name) const {
  for (const auto& [key, text] : headers) {
    if (key == name) return text;
  }
  return {};
}

Dialect dialect_of_path(std::string_view path) {
  if (path.rfind("/v1/messages", 0) == 0) return Dialect::kAnthropic;
  if (path.rfind("/api/", 0) == 0) return Dialect::kOllama;
  return Dialect::kOpenAi;
}

std::string error_body(Dialect dialect, int status, std::string_view message, std::string_view id) {
  const Json text = value(message);
  if (dialect == Dialect::kOllama) return Json::object({{"error", text}}).dump();
  const Json type = value(error_type(dialect, status));
  if (dialect == Dialect::kAnthropic) {
    Json json = Json::object(
        {{"type", value("error")}, {"error", Json::object({{"type", type}, {"message", text}})}});
    if (!id.empty()) json.set("request_id", value(id));
    return json.dump();
  }
  const std::string_view field = field_of(message);
  return Json::object({{"error", Json::object({{"message", text},
                                               {"type", type},
                                               {"param", field.empty() ? Json() : value(field)},
                                               {"code", error_code(status, message)}})}})
      .dump();
}

HttpReply error_reply(Dialect dialect, int status, std::string_view message) {
  HttpReply reply;
  reply.status = status;
  reply.fault = HttpReply::Fault{dialect, std::string(message)};
  if (status == 503 || status == 429) reply.headers.emplace_back("retry-after", "1");
  return reply;
}

bool percent_decode(std::string_view text, std::string& decoded) {
  decoded.clear();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return false;
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return true;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view status_text(int status) {
  static constexpr std::pair<int, std::string_view> kWords[] = {
      {200, "OK"},
      {201, "Created"},
      {202, "Accepted"},
      {204, "No Content"},
      {304, "Not Modified"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {408, "Request Timeout"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {415, "Unsupported Media Type"},
      {417, "Expectation Failed"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {503, "Service Unavailable"},
      {505, "HTTP Version Not Supported"},
  };
  for (const auto& [number, word] : kWords) {
    if (number == status) return word;
  }
  return "Status";
}

}  // namespace godwit::server
