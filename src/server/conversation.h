// What the dialects share in turning their JSON into a GenerationRequest.
#pragma once

#include <string>
#include <vector>

#include "engine/request.h"
#include "server/json_fields.h"
#include "server/media_source.h"

namespace godwit::server {

text::ContentPart text_part(std::string text);
text::ContentPart media_part(text::ContentPart::Kind kind,
                             std::shared_ptr<const text::MediaBytes> media);

// OpenAI's messages: strings or lists of parts (text, image_url, video_url, input_image, …),
// tool_calls, reasoning_content.
Result<std::vector<text::ChatMessage>> read_messages(Fields& fields, const MediaSource& media);
// One part of a message that stands somewhere in `holder`, chat-completions or responses style.
Result<text::ContentPart> read_part(const Fields& holder, const Json& part, const std::string& path,
                                    const MediaSource& media);

// [{"type": "function", "function": {name, description, parameters, strict}}] → as the templates
// take them. A strict tool is refused: output bound to a schema is not supported yet.
Result<std::vector<Json>> read_tools(const Json& tools, const std::string& path);
// "auto", "none", "required", {"type": "function", …}; "none" empties `tools`.
Status apply_tool_choice(const Json* choice, const std::string& path, std::vector<Json>& tools);
// "parallel_tool_calls": false, one call an answer.
Status read_parallel_calls(Fields& fields, engine::GenerationRequest& request);
// {name, description, SCHEMA_KEY: schema} → {type: function, function: {name, description,
// parameters}}; strict ones are refused.
Result<Json> read_flat_function(Fields& tool, std::string_view schema_key);
// A tool that is no function: dropped with a warning, once for each, as agents send them with every
// request whether they are served or not.
Status leave_out_tool(Fields& tool, std::string_view route, std::string_view type);
// {"type": "text"} is nothing; json_object and json_schema are refused.
Status check_response_format(Fields& fields, std::string_view key);

// The words of other engines that bind answers to a schema or grammar; refused.
Status refuse_constraints(Fields& fields);

// temperature, top_p, top_k, min_p, penalties, seed, logit_bias: the same names everywhere.
Status read_sampling(Fields& fields, engine::SamplingOptions& sampling);

// A last message that is the assistant's text is the beginning of the answer, which goes on from
// it.
Status continue_last_message(engine::GenerationRequest& request);

// reasoning effort → thinking and budget: none and minimal: off; low 512, medium 2048, high 8192
// tokens; xhigh and max: on without a budget. Also given to the template ("reasoning_effort").
Status apply_effort(std::string_view effort, const std::string& path,
                    engine::GenerationRequest& request);
// chat_template_kwargs (enable_thinking, preserve_thinking, …), enable_thinking, reasoning_effort,
// thinking_budget.
Status read_thinking(Fields& fields, engine::GenerationRequest& request);

// The usage of all answers (`per_prompt` of them to each prompt), as OpenAI has it, and what only
// this server tells.
Json openai_usage(const std::vector<engine::Event>& done, size_t per_prompt);
Json godwit_extension(const engine::Event& done);

}  // namespace godwit::server
