// Which of the four templates a checkpoint speaks.
#include <algorithm>

#include "base/sha256.h"
#include "text/chat_template.h"
#include "text/trim.h"

namespace godwit::text {
namespace {

struct Known {
  TemplateVersion version;
  std::string_view sha256;
};
constexpr Known kOfficial[] = {
    {TemplateVersion::kQwen35, "a4aee8afcf2e0711942cf848899be66016f8d14a889ff9ede07bca099c28f715"},
    {TemplateVersion::kQwen35Small,
     "273d8e0e683b885071fb17e08d71e5f2a5ddfb5309756181681de4f5a1822d80"},
    {TemplateVersion::kQwen36, "e84f32a23fdda27689f868aa4a1a5621f41133e51a48d7f3efcbea2839574259"},
    {TemplateVersion::kQwen38, "c3cf9e34abf4f9e36c2d72165aa9c132d3e2a725b6c2586aaa3a8af9d7a81041"},
};

// As it is; or as an editor or a converter left it: without the white space at its end, or with one
// newline there.
std::optional<TemplateVersion> find_official(std::string_view text) {
  const std::string trimmed(trim_end(text));
  for (const std::string& candidate : {std::string(text), trimmed, trimmed + "\n"}) {
    const std::string sum = sha256_hex(candidate);
    for (const Known& known : kOfficial)
      if (known.sha256 == sum) return known.version;
  }
  return std::nullopt;
}

// "thinks only if enable_thinking is true" however it is spaced: the condition of the small sizes.
// The larger ones test for false.
bool asks_for_true(std::string_view text) {
  std::string squeezed;
  for (const char c : text)
    if (c != ' ' && c != '\n' && c != '\t') squeezed += c;
  const auto has = [&](std::string_view what) { return squeezed.find(what) != std::string::npos; };
  return (has("enable_thinkingistrue") || has("enable_thinking==true")) &&
         !has("enable_thinkingisfalse") && !has("enable_thinking==false");
}

TemplateChoice nearest(TemplateVersion version, std::string_view why) {
  return {
      version, false,
      fmt::format("the checkpoint's chat template is not one of the official ones; using {} ({})",
                  template_name(version), why)};
}

}  // namespace

TemplateChoice choose_template(const std::optional<std::string>& template_text,
                               std::string_view chat_template_version) {
  if (template_text) {
    if (const auto found = find_official(*template_text))
      return {*found, true, fmt::format("the official template of {}", template_name(*found))};
  }
  if (!chat_template_version.empty()) {
    if (const auto found = find_template(chat_template_version)) {
      return {*found, true, fmt::format("chat_template_version says {}", template_name(*found))};
    }
  }
  if (!template_text) {
    return {TemplateVersion::kQwen35, false, "the checkpoint has no chat template; using qwen3.5"};
  }
  const auto has = [&](std::string_view what) {
    return template_text->find(what) != std::string::npos;
  };
  if (has("reasoning_effort")) return nearest(TemplateVersion::kQwen38, "it has reasoning_effort");
  if (has("preserve_thinking"))
    return nearest(TemplateVersion::kQwen36, "it has preserve_thinking");
  if (asks_for_true(*template_text))
    return nearest(TemplateVersion::kQwen35Small, "it thinks only if enable_thinking is true");
  return nearest(TemplateVersion::kQwen35, "nothing in it speaks for a later one");
}

}  // namespace godwit::text
