#include "server/page.h"

#include <string>
#include <utility>

namespace godwit::server {
namespace {

// Nothing from elsewhere, no inline script or style, in no frame: an answer that smuggled markup
// into the page could still load and send nothing.
constexpr char kPolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; media-src data: blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'";

std::string content_type(std::string_view path) {
  static const std::vector<std::pair<std::string_view, const char*>> types = {
      {".html", "text/html; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".svg", "image/svg+xml"},
      {".woff2", "font/woff2"},
      {".txt", "text/plain; charset=utf-8"}};
  for (const auto& [ending, type] : types) {
    if (path.size() >= ending.size() && path.substr(path.size() - ending.size()) == ending)
      return type;
  }
  return "application/octet-stream";
}

HttpReply page_reply(std::string_view path, std::string_view bytes) {
  HttpReply reply;
  reply.content_type = content_type(path);
  reply.body = bytes;
  // The names in assets/ carry a hash of what is in them.
  const bool hashed = path.rfind("/assets/", 0) == 0;
  reply.headers = {
      {"cache-control", hashed ? "public, max-age=31536000, immutable" : "no-cache"},
      {"content-security-policy", kPolicy},
      {"cross-origin-opener-policy", "same-origin"},
      {"referrer-policy", "no-referrer"},
      {"x-content-type-options", "nosniff"},
  };
  return reply;
}

std::string missing_page() {
  return "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Godwit</title>"
         "<h1>Godwit serves, without its page</h1><p>" +
         std::string(kPageMissing) +
         "</p><p>The APIs work: <code>/v1/chat/completions</code>, <code>/v1/messages</code>, "
         "<code>/api/chat</code>, <code>/health</code>.</p></html>\n";
}

}  // namespace

std::vector<Route> page_routes() {
  std::vector<Route> routes;
  for (const PageFile& file : kPageFiles) {
    const auto handler = [file](const HttpRequest&) { return page_reply(file.path, file.bytes); };
    const std::string path = file.path == "/index.html" ? "/" : std::string(file.path);
    routes.push_back({"GET", path, handler, path == "/" ? "/" : "/assets", true});
  }
  if (kPageFiles.empty()) {
    routes.push_back({"GET", "/",
                      [](const HttpRequest&) { return page_reply("/index.html", missing_page()); },
                      "/", true});
  }
  return routes;
}

}  // namespace godwit::server
