// Router: which route answers a method and a path.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/http.h"

namespace godwit::server {

struct RouteMatch {
  const Route* route = nullptr;
  std::string parameter;  // what stands for the {…}
  std::string allowed;    // "GET, POST": the methods of the path; empty: no such path
};

class Router {
 public:
  explicit Router(std::vector<Route> routes);
  // HEAD is answered by GET.
  RouteMatch find(std::string_view method, std::string_view path) const;

 private:
  std::vector<Route> routes_;
};

}  // namespace godwit::server
