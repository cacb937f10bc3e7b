#include "server/router.h"

#include <optional>
#include <utility>

namespace godwit::server {
namespace {

// The parameter ("" for an exact path); nullopt: another path.
std::optional<std::string> match(std::string_view pattern, std::string_view path) {
  const size_t brace = pattern.find('{');
  if (brace == std::string_view::npos)
    return pattern == path ? std::optional<std::string>("") : std::nullopt;
  const std::string_view prefix = pattern.substr(0, brace);
  if (path.size() <= prefix.size() || path.substr(0, brace) != prefix) return std::nullopt;
  return std::string(path.substr(brace));
}

}  // namespace

Router::Router(std::vector<Route> routes) : routes_(std::move(routes)) {
  for (Route& route : routes_) {
    if (route.name.empty()) route.name = route.path;
  }
}

RouteMatch Router::find(std::string_view method, std::string_view path) const {
  RouteMatch found;
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  // An exact path goes before one with a parameter.
  for (const bool exact : {true, false}) {
    for (const Route& route : routes_) {
      if ((route.path.find('{') == std::string::npos) != exact) continue;
      const auto parameter = match(route.path, path);
      if (!parameter) continue;
      if (!found.route && route.method == wanted) {
        found.route = &route;
        found.parameter = *parameter;
      }
      if (found.allowed.find(route.method) == std::string::npos)
        found.allowed += (found.allowed.empty() ? "" : ", ") + route.method;
    }
    if (found.route) break;
  }
  return found;
}

}  // namespace godwit::server
