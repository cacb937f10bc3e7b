// The fixed texts of the official templates (spec: goldens/text/README.md has the hashes of the
// files).
#pragma once

#include <string_view>

namespace godwit::text {

constexpr std::string_view kThinkBegin = "<think>";
constexpr std::string_view kThinkEnd = "</think>";
constexpr std::string_view kPictureTriple = "<|vision_start|><|image_pad|><|vision_end|>";
constexpr std::string_view kClipTriple = "<|vision_start|><|video_pad|><|vision_end|>";

// What stands before the tools, one a line, and after them.
constexpr std::string_view kToolsBegin =
    "# Tools\n\nYou have access to the following functions:\n\n<tools>";
constexpr std::string_view kToolsEnd = R"(
</tools>

If you choose to call a function ONLY reply in the following format with NO suffix:

<tool_call>
<function=example_function_name>
<parameter=example_parameter_1>
value_1
</parameter>
<parameter=example_parameter_2>
This is the value for the second parameter
that can span
multiple lines
</parameter>
</function>
</tool_call>

<IMPORTANT>
Reminder:
- Function calls MUST follow the specified format: an inner <function=...></function> block must be nested within <tool_call></tool_call> XML tags
- Required parameters MUST be specified
- You may provide optional reasoning for your function call in natural language BEFORE the function call, but NOT after
- If there is no function call available, answer the question like normal with your current knowledge and do not tell the user about function calls
</IMPORTANT>)";

constexpr std::string_view kEffortXhigh =
    "Reasoning effort is set to xhigh. Please think carefully through the task, validate key "
    "assumptions, consider "
    "plausible alternatives, and prioritize correctness, consistency, and clarity in the final "
    "answer.";
constexpr std::string_view kEffortLow =
    "Reasoning effort is set to low. Keep your thinking brief and focused, moving directly to the "
    "conclusion without "
    "unnecessary elaboration.";

}  // namespace godwit::text
