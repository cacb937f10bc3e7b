// Text from outside (files, requests, arguments), made fit for one line of a message.
#pragma once

#include <string>
#include <string_view>

namespace godwit {

// Control characters (escape and line feed above all) as \x1b or \u0085, bytes that are no UTF-8 as
// \xff. The characters of `kept` stay as they are.
std::string visible(std::string_view text, std::string_view kept = {});

// 'blk.0.attn_q.weight', 'it\'s', 'a\x1b…' (cut at the first character that ends beyond 100 bytes)
std::string in_quotes(std::string_view text);

}  // namespace godwit
