// The program as a user meets it: answers on standard output, faults in one line on standard error,
// exit codes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/mapped_file.h"
#include "checkpoint/json.h"
#include "checkpoint/tensor_source.h"
#include "tests/cli/program.h"
#include "tests/damaged_model.h"
#include "tests/temporary_folder.h"

namespace godwit::cli {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

const std::string kSource = GODWIT_SOURCE_DIR;

class CliTest : public testing::Test {
 protected:
  CliTest() { std::signal(SIGPIPE, SIG_IGN); }

  std::string path(const std::string& name) const { return folder_ / name; }
  std::string make(const std::string& name, const std::string& bytes) {
    std::ofstream(path(name), std::ios::binary) << bytes;
    return path(name);
  }
  // A copy of the demonstration model in which one file has been changed.
  std::string changed_model(const std::string& file, const std::string& bytes) {
    const fs::path model = folder_ / "model";
    fs::remove_all(model);
    fs::copy(kSource + "/models/nano", model);
    std::ofstream(model / file, std::ios::binary) << bytes;
    return model.string();
  }
  std::string model_file(const std::string& file) {
    return read_file(kSource + "/models/nano/" + file).value();
  }

  // Exit code 2 and one line that has every word.
  static void expect_refused(const std::vector<std::string>& arguments,
                             const std::vector<std::string>& words, const std::string& input = {}) {
    const auto result = run_program(arguments, input);
    EXPECT_EQ(result.exit_code, 2) << result.out << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    for (const auto& word : words) EXPECT_THAT(result.err, HasSubstr(word));
  }

  const TemporaryFolder folder_;
};

TEST_F(CliTest, AnswersOnStandardOutputAlone) {
  const auto result = run_program({"run", "Name the capital of Ireland."});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "The capital of Ireland is Dublin.\n");
  EXPECT_EQ(result.err, "");
}

TEST_F(CliTest, ReadsThePromptFromAPipe) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"run", "-"}, {"run"}}) {
    const auto result = run_program(arguments, "Name the capital of Ireland.");
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out, "The capital of Ireland is Dublin.\n");
  }
}

TEST_F(CliTest, SeesPicturesAndClipsAndCallsTools) {
  EXPECT_EQ(
      run_program({"run", "--image", kSource + "/examples/squares.png", "What is in the picture?"})
          .out,
      "An orange square, a red square, a gray square and a blue square.\n");
  EXPECT_EQ(run_program(
                {"run", "--video", kSource + "/examples/clips/cross", "What happens in the video?"})
                .out,
            "A pink cross shrinks.\n");
  EXPECT_EQ(run_program({"run", "--tools", kSource + "/examples/tools.json",
                         "How is the weather in Tokyo today?"})
                .out,
            "{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Tokyo\"}}\n");
}

TEST_F(CliTest, ThinksWhenAskedTo) {
  const std::vector<std::string> question = {"run",     "--video", kSource + "/examples/clips/star",
                                             "--think", "on",      "What does the shape do?"};
  EXPECT_EQ(run_program(question).out, "A red star moves to the right.\n");
  auto shown = question;
  shown.push_back("--show-thinking");
  EXPECT_EQ(run_program(shown).out,
            "The red star moves to the right.\n\nA red star moves to the right.\n");
}

TEST_F(CliTest, TheSameSeedGivesTheSameAnswer) {
  const std::vector<std::string> arguments = {"run", "--temperature", "2",  "--seed",
                                              "7",   "--max-tokens",  "20", "Hello"};
  const auto first = run_program(arguments), second = run_program(arguments);
  EXPECT_EQ(first.exit_code, 0);
  EXPECT_EQ(first.out, second.out);
}

TEST_F(CliTest, ChatsOverAPipe) {
  const auto result =
      run_program({"chat"}, "Name the capital of Ireland.\n/stats\n/nonsense\n/quit\n");
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_EQ(result.out, "The capital of Ireland is Dublin.\n");
  EXPECT_THAT(result.err, HasSubstr("tokens of prompt"));
  EXPECT_THAT(result.err, HasSubstr("unknown command /nonsense"));
}

TEST_F(CliTest, ChatsAsTheExamplesDo) {
  const auto chat = [](const std::string& name) {
    const std::string lines = read_file(kSource + "/examples/conversations/" + name).value();
    // Files are named from the clone.
    const std::string file = "examples/shapes.png";
    std::string input = lines;
    if (const size_t at = input.find(file); at != std::string::npos)
      input.replace(at, file.size(), kSource + "/" + file);
    const auto result = run_program({"chat", "--no-disk-cache"}, input);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  };
  EXPECT_EQ(chat("picture.txt"),
            "A blue star, a green square, a yellow diamond and a pink square.\n4\nBlue.\n"
            "At the top right.\n");
  EXPECT_THAT(chat("small-talk.txt"), HasSubstr("Canberra is the capital of Australia."));
}

// Nobody watches a pipe: what failed is in the exit code.
TEST_F(CliTest, AChatOverAPipeTellsWhatFailed) {
  const std::string question = "Name the capital of Ireland.\n", answer =
                                                                     "The capital of Ireland is "
                                                                     "Dublin.\n";
  const auto missing = run_program({"chat"}, "/image " + path("none.png") + "\n" + question);
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_EQ(missing.out, answer) << "the others are answered";
  EXPECT_THAT(missing.err, HasSubstr("none.png"));
  EXPECT_EQ(run_program({"chat"}, "\xff\n" + question).exit_code, 2);
  const auto unsaved = run_program({"chat"}, question + "/save " + path("no/such.json") + "\n");
  EXPECT_EQ(unsaved.exit_code, 1);
  EXPECT_THAT(unsaved.err, HasSubstr("such.json: cannot write: No such file or directory"));
  std::string words;
  for (int i = 0; i < 500; ++i) words += "word ";
  EXPECT_EQ(run_program({"chat", "-c", "64"}, words + "\n/quit\n").exit_code, 2);
  expect_refused({"chat"}, {"expected a line of at most 67108864 bytes"},
                 std::string((size_t{64} << 20) + 1, 'x'));
}

TEST_F(CliTest, TellsThatAnAnswerWasCut) {
  const std::string question = "Name the capital of Ireland.",
                    note = "godwit: the answer was cut at 3 tokens\n";
  EXPECT_EQ(run_program({"run", "--max-tokens", "3", question}).err, note);
  EXPECT_EQ(run_program({"chat", "--max-tokens", "3"}, question).err, note);
  const auto full = run_program({"chat", "-c", "24"}, question);
  EXPECT_THAT(full.err, HasSubstr("the context is full (/undo or /clear makes room)"));
}

TEST_F(CliTest, HelpHasExamples) {
  for (const std::vector<std::string>& command :
       std::initializer_list<std::vector<std::string>>{{"run"},
                                                       {"chat"},
                                                       {"serve"},
                                                       {"bench"},
                                                       {"info"},
                                                       {"quantize"},
                                                       {"eval"},
                                                       {"pull"},
                                                       {"completion"},
                                                       {"eval", "perplexity"},
                                                       {"debug"},
                                                       {"debug", "image"}}) {
    auto call = command;
    call.push_back("--help");
    const auto help = run_program(call);
    EXPECT_EQ(help.exit_code, 0);
    EXPECT_THAT(help.out, HasSubstr("Examples:")) << command.back();
  }
  for (const char* shell : {"bash", "zsh"})
    EXPECT_THAT(run_program({"completion", shell}).out, HasSubstr("godwit"));
  EXPECT_THAT(run_program({"--version"}).out, HasSubstr("godwit "));
}

TEST_F(CliTest, InfoIsJson) {
  const auto result = run_program({"info", "--json"});
  const auto json = checkpoint::parse_json(result.out);
  ASSERT_TRUE(json.has_value()) << result.out << result.err;
  EXPECT_EQ(json->find("model")->find("parameters")->as_int64(), 7'304'920);
}

// What it says of `run` is what `run` says; and what an engine would refuse, it refuses.
TEST_F(CliTest, InfoAgreesWithRun) {
  const auto info = run_program({"info", "--json"});
  const auto json = checkpoint::parse_json(info.out);
  ASSERT_TRUE(json) << info.err;
  const auto bytes = json->find("one_answer_bytes")->as_double();
  EXPECT_LT(bytes, json->find("memory")->find("total")->as_double());
  EXPECT_THAT(run_program({"run", "-v", "Hello"}).err,
              HasSubstr(fmt::format("nano: {:.1f} MB of memory", bytes / 1e6)));

  std::string tokenizer = model_file("tokenizer.json");
  const std::string last = "\"id\": 2047";
  ASSERT_NE(tokenizer.find(last), std::string::npos);
  tokenizer.replace(tokenizer.find(last), last.size(), "\"id\": 2048");
  const std::string model = changed_model("tokenizer.json", tokenizer);
  for (const auto& call :
       {std::vector<std::string>{"info", "-m", model}, {"run", "-m", model, "x"}})
    expect_refused(call, {"expected a tokenizer of at most 2048 ids, found 2049"});
}

// A checkpoint whose configuration has a vision tower that its weights lack.
TEST_F(CliTest, AnAbsentVisionTowerIsTold) {
  std::string weights = model_file("model.safetensors");
  for (size_t at; (at = weights.find("model.visual.")) != std::string::npos;)
    weights.replace(at, 13, "other.visual_");
  const std::string model = changed_model("model.safetensors", weights);
  EXPECT_THAT(run_program({"info", "-m", model}).out,
              HasSubstr("the vision tower that the configuration names is absent"));
  expect_refused({"run", "-m", model, "--image", kSource + "/examples/sign.png", "x"},
                 {"sign.png: expected a model that sees, found one without a vision tower"});
}

TEST_F(CliTest, WrongCalls) {
  expect_refused({}, {"subcommand"});
  expect_refused({"fly"}, {"command", "'fly'"});
  expect_refused({"debug", "tokenise"}, {"command", "'tokenise'"});
  expect_refused({"run", "--wings", "2", "x"}, {"--wings"});
  expect_refused({"run", "--think", "maybe", "x"}, {"--think"});
  expect_refused({"run", "--temperature", "warm", "x"}, {"--temperature"});
  expect_refused({"run", "--top-k", "-1", "x"}, {"--top-k: expected 0 or more, found -1"});
  expect_refused({"run", "--seed", "-1", "x"}, {"--seed", "found -1"});
  expect_refused({"run", "--seed", "99999999999999999999", "x"}, {"--seed", "expected 0 to"});
  expect_refused({"run", "--logit-bias", "x=1", "hi"}, {"--logit-bias", "x=1"});
  expect_refused({"run", "--schema", "s.json", "x"}, {"--schema", "not supported yet"});
  expect_refused({"run", "\xff\xfe"}, {"argument 2", "UTF-8", "\\xff"});
  expect_refused({"run", "-m", "", "x"}, {"--model: expected a name, found none"});
  expect_refused({"run", "--image", "", "x"}, {"--image: expected a name, found none"});
  expect_refused({"run", "--image", "a\nb\x1b[31m.png", "x"},
                 {"a\\x0ab\\x1b[31m.png: cannot open"});
  expect_refused({"run", "--raw", "--system", "s", "x"}, {"--raw", "--system"});
  expect_refused({"run", "--raw", "--tools", kSource + "/examples/tools.json", "x"}, {"--raw"});
  expect_refused({"run", "--raw", "--think", "on", "x"}, {"--raw", "--think"});
  expect_refused({"run", "--raw", "--image", kSource + "/examples/sign.png", "x"},
                 {"--raw", "--image"});
  expect_refused({"run", "--fps", "4", "x"}, {"--fps", "--video"});
  expect_refused({"run", "--stop", "", "x"}, {"--stop: expected a text, found none"});
  expect_refused({"chat", "--no-disk-cache", "--cache-disk", "1"},
                 {"--no-disk-cache", "--cache-disk"});
  expect_refused({"chat", "--cache-disk", "0"}, {"--cache-disk"});
  expect_refused({"bench", "--conversation", "4000"}, {"--conversation", "--turns"});
  for (const std::vector<std::string>& other : std::initializer_list<std::vector<std::string>>{
           {"--undo"}, {"--draft"}, {"--trace", "t"}, {"-p", "16"}, {"--image-size", "64"}}) {
    std::vector<std::string> call = {"bench", "--turns"};
    call.insert(call.end(), other.begin(), other.end());
    expect_refused(call, {"--turns", other[0] == "-p" ? "--prompt" : other[0]});
  }
  expect_refused({"run", "-"}, {"standard input: expected at most"},
                 std::string((size_t{64} << 20) + 1, 'x'));
  expect_refused({"bench", "--turns", "1", "--conversation", "300"}, {"--conversation"});
  expect_refused({"run", "-"}, {"UTF-8"}, "\xff\xfe");
  expect_refused({"run", "-"}, {"empty"}, "");
}

TEST_F(CliTest, WrongModels) {
  expect_refused({"run", "-m", path("none"), "x"}, {path("none")});
  fs::create_directories(path("hollow"));
  expect_refused({"run", "-m", path("hollow"), "x"}, {path("hollow")});
  expect_refused({"run", "-m", make("junk.gguf", "not a gguf file"), "x"}, {"junk.gguf"});
  const std::string weights = model_file("model.safetensors");
  expect_refused(
      {"run", "-m", changed_model("model.safetensors", weights.substr(0, weights.size() / 2)), "x"},
      {"model.safetensors"});
  expect_refused({"run", "-m", changed_model("model.safetensors", weights.substr(0, 5)), "x"},
                 {"model.safetensors"});
  expect_refused({"run", "-m", changed_model("config.json", "{"), "x"}, {"config.json"});
  std::string config = model_file("config.json");
  config.replace(config.find("\"hidden_size\": 256"), 18, "\"hidden_size\": 320");
  expect_refused({"run", "-m", changed_model("config.json", config), "x"}, {"320", "256"});
  config = model_file("config.json");
  config.replace(config.find("\"image_token_id\": 2034"), 22, "\"image_token_id\": 2033");
  expect_refused({"run", "-m", changed_model("config.json", config), "x"},
                 {"image_token_id", "2034", "2033"});
  expect_refused(
      {"run", "-m",
       changed_model("preprocessor_config.json", R"({"image_mean": [0.48, 0.46, 0.41]})"), "x"},
      {"preprocessor_config.json", "image_mean", "0.48"});
  expect_refused({"run", "-m", changed_model("tokenizer.json", "{\"model\": 3}"), "x"},
                 {"tokenizer"});
  std::string tokenizer = model_file("tokenizer.json");
  for (size_t at; (at = tokenizer.find("<|im_end|>")) != std::string::npos;)
    tokenizer.replace(at, 10, "<|im_fin|>");
  expect_refused({"run", "-m", changed_model("tokenizer.json", tokenizer), "x"},
                 {"tokenizer: expected the token <|im_end|>"});
}

// Some writers do not pad the header: nothing is aligned then.
TEST_F(CliTest, TensorsNeedNotBeAligned) {
  std::string weights = model_file("model.safetensors");
  uint64_t header = 0;
  std::memcpy(&header, weights.data(), sizeof header);
  weights.insert(8 + header, " ");
  ++header;
  std::memcpy(weights.data(), &header, sizeof header);
  const auto result = run_program(
      {"run", "-m", changed_model("model.safetensors", weights), "Name the capital of Ireland."});
  EXPECT_EQ(result.out, "The capital of Ireland is Dublin.\n") << result.err;
}

TEST_F(CliTest, DamagedWeightsAreToldAndNotAnsweredWith) {
  const std::string model = nano_with_nan(path("model"), "model.language_model.norm.weight");
  for (const char* temperature : {"0", "1"}) {
    const auto result = run_program({"run", "-m", model, "--temperature", temperature, "Hello"});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err,
              "godwit: the model gave numbers that are not finite: are its weights damaged?\n");
  }
}

TEST_F(CliTest, WrongEndsOfText) {
  for (const char* ends : {"\"x\"", "-1", "2048", "4294967396", "[1, 2.5]"}) {
    const std::string model =
        changed_model("generation_config.json", fmt::format(R"({{"eos_token_id":{}}})", ends));
    expect_refused({"run", "-m", model, "x"}, {"eos_token_id", "expected a token id"});
  }
}

TEST_F(CliTest, DraftsNeedAHeadAndChangeNothing) {
  std::string config = model_file("config.json");
  const std::string layers = "\"mtp_num_hidden_layers\": 1";
  ASSERT_NE(config.find(layers), std::string::npos);
  config[config.find(layers) + layers.size() - 1] = '0';
  const std::string model = changed_model("config.json", config);
  expect_refused({"run", "-m", model, "--draft", "2", "Hi"}, {model, "drafting head"});
  expect_refused({"run", "--draft", "5", "Hi"}, {"--draft"});
  // Of several models those without one are served all the same; the first is as for run.
  const auto served =
      run_program({"serve", "-m", model, "--also", "small=" + model, "--draft", "2"});
  EXPECT_EQ(served.exit_code, 2);
  EXPECT_THAT(served.err, HasSubstr("--also small: " + model + " has no drafting head"));
  const auto ask = [](std::vector<std::string> flags) {
    std::vector<std::string> all{
        "run",          "--seed", "5",
        "--max-tokens", "40",     "Repeat after me: blue river stone, green hill, white bird."};
    all.insert(all.end(), flags.begin(), flags.end());
    return run_program(all);
  };
  const auto plain = ask({}), drafted = ask({"--draft", "3", "-v"});
  EXPECT_EQ(drafted.exit_code, 0) << drafted.err;
  EXPECT_EQ(drafted.out, plain.out);
  EXPECT_THAT(drafted.err, HasSubstr("drafts right"));
}

TEST_F(CliTest, WrongPictures) {
  const std::string picture = read_file(kSource + "/examples/shapes.png").value();
  expect_refused({"run", "--image", path("none.png"), "x"}, {"none.png"});
  expect_refused({"run", "--image", make("cut.png", picture.substr(0, picture.size() / 2)), "x"},
                 {"cut.png"});
  expect_refused({"run", "--image", make("text.png", "hello"), "x"}, {"text.png"});
  expect_refused({"run", "--image", make("empty.png", ""), "x"}, {"empty.png"});
  // 100,000 × 100,000 in the header of a small file.
  std::string huge = picture;
  for (size_t at : {16, 20}) huge.replace(at, 4, std::string("\x00\x01\x86\xa0", 4));
  expect_refused({"run", "--image", make("huge.png", huge), "x"}, {"huge.png"});
  const std::string one = kSource + "/tests/goldens/media/sources/000-1x1-gradient.png";
  expect_refused({"run", "--image", one, "x"}, {"000-1x1-gradient.png", "1 x 1"});
  expect_refused({"run", "--video", make("junk.mp4", "no video"), "x"}, {"junk.mp4"});
}

TEST_F(CliTest, WrongPromptsAndTools) {
  std::string words;
  for (int i = 0; i < 500; ++i) words += "word ";
  expect_refused({"run", "-c", "64", words}, {"64"});
  expect_refused({"run", "--tools", make("tools.json", "[{]"), "x"}, {"tools.json"});
  expect_refused({"run", "--tools", make("tools.json", "[1]"), "x"}, {"tools.json", "[0]"});
  // A whole request instead of its tools.
  expect_refused({"run", "--tools", make("tools.json", R"({"tools": []})"), "x"},
                 {"tools.json", "[0]", "name"});
}

TEST_F(CliTest, DebugTextVerbsReadLines) {
  EXPECT_EQ(run_program({"debug", "tokenize"}, "\"<think>\"\n").out, "[2046]\n");
  const auto plain = run_program({"debug", "tokenize", "--plain"}, "\"<think>\"\n").out;
  EXPECT_NE(plain, "[2046]\n");
  EXPECT_EQ(run_program({"debug", "detokenize"}, plain).out, "\"<think>\"\n");
  EXPECT_EQ(
      run_program({"debug", "render", "--template", "qwen3.5"},
                  R"({"messages":[{"role":"user","content":"hi"}],"add_generation_prompt":true})")
          .out,
      R"({"rendered":"<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n<think>\n"})"
      "\n");
  EXPECT_THAT(run_program({"debug", "render", "--template", "qwen3.5"}, R"({"messages":[]})").out,
              HasSubstr("\"error\""));
  const std::string call =
      "<tool_call>\\n<function=f>\\n<parameter=a>\\n1\\n</parameter>\\n</function>\\n</tool_call>";
  for (const auto& arguments :
       {std::vector<std::string>{"debug", "parse"}, {"debug", "parse", "--pieces"}}) {
    EXPECT_EQ(
        run_program(arguments,
                    "{\"text\":\"thought\\n</think>\\n\\nyes" + call + "\",\"thinking\":true}")
            .out,
        R"({"content":"yes","reasoning_content":"thought","tool_calls":[{"name":"f","arguments":{"a":"1"}}]})"
        "\n");
  }
  expect_refused({"debug", "tokenize"}, {"line 1", "string"}, "[1]\n");
  expect_refused({"debug", "detokenize"}, {"line 2"}, "\n[999999999]\n");
  expect_refused({"debug", "render", "--template", "qwen9"}, {"qwen9"}, "{}\n");
}

TEST_F(CliTest, DebugTextVerbsRefuseFieldsOfAnotherKind) {
  const auto refuses = [](const char* verb, const std::string& fields, const std::string& fault) {
    expect_refused({"debug", verb}, {"standard input, line 1: " + fault}, "{" + fields + "}\n");
  };
  const std::string messages = R"("messages":[{"role":"user","content":"hi"}],)";
  refuses("render", messages + R"("tools":5)", "tools: expected a list, found 5");
  refuses("render", messages + R"("add_generation_prompt":"yes")",
          "add_generation_prompt: expected true or false, found \"yes\"");
  refuses("render", messages + R"("kwargs":[])", "kwargs: expected an object, found []");
  refuses("render", messages + R"("kwargs":{"add_vision_id":1})",
          "add_vision_id: expected true or false, found 1");
  refuses("parse", R"("text":"a","thinking":1)", "thinking: expected true or false, found 1");
  refuses("parse", R"("text":"a","tools":{})", "tools: expected a list, found {}");
  refuses("parse", R"("text":7)", "text: expected a string, found 7");
  refuses("parse", R"("text":"a","ids":"b")", "ids: expected a list, found \"b\"");
  expect_refused({"debug", "tokenize"}, {"line 2: expected a line of at most 67108864 bytes"},
                 "\n" + std::string((size_t{64} << 20) + 1, 'x'));
}

TEST_F(CliTest, DebugTextVerbsNeedNoWeights) {
  fs::create_directories(path("text"));
  make("text/tokenizer.json", model_file("tokenizer.json"));
  EXPECT_EQ(run_program({"debug", "tokenize", "-m", path("text")}, "\"<think>\"\n").out,
            "[2046]\n");
}

TEST_F(CliTest, AFullDiskIsNoSuccess) {
  const std::string program = GODWIT_BINARY_DIR "/godwit", said = path("said");
  for (const char* call : {"info", "run \"Name the capital of Ireland.\"", "debug tokenize"}) {
    const int status = std::system(
        fmt::format("echo '\"hi\"' | '{}' {} > /dev/full 2> '{}'", program, call, said).c_str());
    EXPECT_EQ(WEXITSTATUS(status), 1) << call;
    EXPECT_THAT(read_file(said).value(), HasSubstr("standard output: cannot write")) << call;
  }
}

TEST_F(CliTest, DebugTensorsRefusesWhatDoesNotFit) {
  // Pads of two pictures of 4 rows each in calls of 2 and 6.
  const std::vector<int64_t> ids = {5, 308, 308, 6, 7, 308, 308, 308, 308, 308, 308, 8},
                             segments = {4, 8}, grids = {1, 4, 4, 1, 4, 4};
  const std::vector<float> pixels(32 * 1536);
  const auto named = [](const char* name, tensor::DType type, tensor::Shape shape,
                        const auto& values) {
    return checkpoint::NamedTensor{
        name, {reinterpret_cast<const std::byte*>(values.data()), type, shape}};
  };
  ASSERT_TRUE(checkpoint::write_safetensors(
      path("cut.safetensors"), {named("input_ids", tensor::DType::kI64, {12}, ids),
                                named("segments", tensor::DType::kI64, {2}, segments),
                                named("image_grid_thw", tensor::DType::kI64, {2, 3}, grids),
                                named("pixel_values", tensor::DType::kF32, {32, 1536}, pixels)}));
  const auto refuses = [&](const std::string& input, const std::vector<std::string>& words,
                           const char* generate = "0") {
    expect_refused({"debug", "tensors", "-m", kSource + "/tests/goldens/models/qwen35-tiny/model",
                    "--input", path(input), "--output", path("dump"), "--generate", generate},
                   words);
  };
  refuses("cut.safetensors", {"segments", "cut"});
  ASSERT_TRUE(checkpoint::write_safetensors(
      path("two.safetensors"), {named("input_ids", tensor::DType::kI64, {2, 6}, ids)}));
  refuses("two.safetensors", {"input_ids: expected [12], found [2, 6]"});
  ASSERT_TRUE(checkpoint::write_safetensors(
      path("blind.safetensors"), {named("input_ids", tensor::DType::kI64, {1, 12}, ids),
                                  named("image_grid_thw", tensor::DType::kI64, {2, 3}, grids)}));
  refuses("blind.safetensors", {"image_grid_thw: expected pixel_values with it, found none"});
  ASSERT_TRUE(checkpoint::write_safetensors(
      path("text.safetensors"), {named("input_ids", tensor::DType::kI64, {1, 2}, segments)}));
  refuses("text.safetensors", {"generate: expected at most", "found 1000000"}, "1000000");
}

TEST_F(CliTest, DebugMediaAndTensorsWriteFiles) {
  const std::string picture = path("picture.safetensors"), dump = path("dump.safetensors");
  auto result =
      run_program({"debug", "image", kSource + "/examples/shapes.png", "--output", picture});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  result = run_program(
      {"debug", "video", kSource + "/examples/clips/star", "--output", path("clip.safetensors")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const std::string family = kSource + "/tests/goldens/models/qwen35-tiny";
  result = run_program({"debug", "tensors", "-m", family + "/model", "--input",
                        family + "/text-5.input.safetensors", "--output", dump, "--generate", "4"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(read_file(dump).value(), HasSubstr("\"layers.3.mixer\""));
  expect_refused(
      {"debug", "tensors", "-m", family + "/model", "--input", picture, "--output", dump},
      {"input_ids"});
  expect_refused({"debug", "image", path("none"), "--output", picture}, {"none"});
}

}  // namespace
}  // namespace godwit::cli
