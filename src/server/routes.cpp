// All routes of the server, joined.
#include <iterator>

#include "server/api.h"
#include "server/page.h"

namespace godwit::server {

std::vector<Route> all_routes(const Api& api) {
  std::vector<Route> routes;
  const auto add = [&](std::vector<Route> more) {
    routes.insert(routes.end(), std::make_move_iterator(more.begin()),
                  std::make_move_iterator(more.end()));
  };
  add(openai_chat_routes(api));
  add(openai_completion_routes(api));
  add(embedding_routes(api));
  add(openai_model_routes(api));
  add(responses_routes(api));
  add(anthropic_routes(api));
  add(ollama_routes(api));
  add(ollama_model_routes(api));
  add(own_routes(api));
  add(page_routes());
  return routes;
}

}  // namespace godwit::server
