// Pictures and clips from the engine's door, with the demonstration model: encoded once, beside
// others, cancelled at any time, refused in time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/damaged_model.h"
#include "tests/engine/engine_fixture.h"
#include "tests/temporary_folder.h"

namespace godwit::engine {
namespace {

using testing::HasSubstr;

constexpr const char* kShapes = "examples/shapes.png";

// The same bytes as a picture and as a clip.
TEST_F(EngineTest, AGifIsAPictureOrAClip) {
  const std::string file = "tests/goldens/media/video/anim.gif";
  const auto look = [&](const text::ContentPart& part) {
    GenerationRequest request = ask("What is in it?");
    put_first(request, part);
    return answer(*engine_, request);
  };
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(look(picture_file(file)).error, "");
    EXPECT_EQ(look(clip_file(file)).error, "");
  }
}

// The rate at which a clip is looked at is part of what it is.
TEST(Pictures, AClipAtAnotherRateIsAnotherClip) {
  const auto engine = open_engine(nano_options());
  const auto tokens = [&](double rate) {
    auto request = ask("What happens?", 1);
    auto part = clip_file("tests/goldens/media/video/h264.mp4");
    auto media = std::make_shared<text::MediaBytes>(*part.media);
    media->frames_per_second = rate;
    part.media = media;
    put_first(request, part);
    return answer(*engine, request).done.usage.prompt_tokens;
  };
  const int few = tokens(2), more = tokens(8);
  EXPECT_GT(few, 20);
  EXPECT_GT(more, few);
  EXPECT_EQ(tokens(2), few);
}

// Beyond the limit no more are decoded, but texts pass, and each gets its turn.
TEST(Pictures, DecodedOnesThatWaitAreBounded) {
  auto options = nano_options();
  options.max_sequences = 2;
  options.decoded_bytes = 1;
  const auto engine = open_engine(options);
  auto endless = ask("Tell me something long.", 1500);
  endless.ignore_end = true;
  const auto busy = engine->submit(endless).value(), other = engine->submit(endless).value();
  while (busy->next()->kind != Event::Kind::kContent) continue;
  std::vector<std::shared_ptr<Generation>> looking;
  for (int i = 0; i < 8; ++i) {
    auto request = ask("What is written here?");
    put_first(request, picture_file(fmt::format("tests/goldens/nano/pictures/ocr-{:02}.png", i)));
    looking.push_back(engine->submit(request).value());
  }
  const auto text = engine->submit(ask("How are you?")).value();
  while (text->next()->kind != Event::Kind::kPromptProgress) continue;  // prepared
  while (engine->stats().decoded_bytes == 0) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // none is decoded meanwhile
  const int64_t one = 200 * 1536 * 4, held = engine->stats().decoded_bytes;
  EXPECT_GT(held, 0);
  EXPECT_LE(held, 2 * one) << "one for each thread that decodes, of 200 patches at most";
  busy->cancel();
  other->cancel();
  for (const auto& generation : looking) EXPECT_EQ(collect(*generation).error, "");
  EXPECT_EQ(collect(*text).error, "");
  EXPECT_EQ(engine->stats().decoded_bytes, 0);
}

// A block of the tower a step: who is answered meanwhile gets a token with each.
TEST_F(EngineTest, APictureDoesNotHoldUpOthers) {
  auto options = nano_options();
  options.vision_ms = 0;
  auto seen = ask("What is in the picture?");
  put_first(seen, picture_file(kShapes));
  const Reply alone = answer(*engine_, seen);

  auto long_answer = ask("What is the capital of France?", 500);
  long_answer.ignore_end = true;
  int64_t between = 0;
  // Once, unless this thread was late to listen.
  for (int round = 0; round < 5 && between < 3; ++round) {
    const auto engine = open_engine(options);
    const auto beside = engine->submit(long_answer).value();
    while (beside->next()->kind != Event::Kind::kContent) continue;
    const auto looking = engine->submit(seen).value();
    std::vector<int64_t> told;  // tokens of all, as the events of the picture's request come
    looking->on_event([&] { told.push_back(engine->stats().generated_tokens); });
    const Reply reply = collect(*looking);
    EXPECT_EQ(reply.content, alone.content);
    EXPECT_EQ(reply.done.usage.pictures_encoded, 1);
    ASSERT_GE(told.size(), 2u);
    between = told[1] - told[0];
    beside->cancel();
  }
  EXPECT_GE(between, 3) << "as many as the tower has blocks, less two";
}

TEST_F(EngineTest, TooManyPicturesAreRefusedBeforeAllAreDecoded) {
  GenerationRequest request = ask("What are they?");
  auto& content = request.messages[0].content;
  content.insert(content.end(), 3000, picture_file(kShapes));
  EXPECT_THAT(answer(*engine_, request).error, HasSubstr("prompt is too long: "));
  EXPECT_GT(engine_->prompt_ids(request)->size(), 3000u * 4);
}

// Whenever it comes, before, in or after the vision tower: the request ends, its pages come back,
// and the next one sees the picture.
TEST_F(EngineTest, CancelWhileAPictureIsRead) {
  auto options = nano_options();
  options.cache_bytes = size_t{16} << 20;
  const auto engine = open_engine(options);
  GenerationRequest request = ask("What is in the picture?");
  put_first(request, picture_file(kShapes));
  request.ignore_end = true;
  request.max_tokens = -1;
  int before_any_token = 0;
  for (int i = 0; i < 60; ++i) {
    auto generation = engine->submit(request).value();
    std::this_thread::sleep_for(std::chrono::microseconds(i * 250));
    generation->cancel();
    const Reply reply = collect(*generation);
    EXPECT_EQ(reply.error, "");
    EXPECT_EQ(reply.done.finish, FinishReason::kCancelled);
    before_any_token += reply.done.usage.completion_tokens == 0;
  }
  EXPECT_GT(before_any_token, 0);
  request.ignore_end = false;
  request.max_tokens = 40;
  EXPECT_EQ(answer(*engine, request).content,
            "A blue star, a green square, a yellow diamond and a pink square.");
  EXPECT_EQ(engine->stats().running, 0);
}

// A vision tower that gives NaN ends the requests with pictures; those beside them go on.
TEST_F(EngineTest, NumbersThatAreNotFiniteEndTheirRequestAlone) {
  const TemporaryFolder folder;
  auto options = nano_options();
  options.model = nano_with_nan(folder.string(), "model.visual.merger.linear_fc2.bias");
  const auto engine = open_engine(options);
  GenerationRequest text = ask("What is the capital of France?"), seen = text;
  put_first(seen, picture_file(kShapes));
  GenerationRequest embedded = seen, scored = seen;
  embedded.task = Task::kEmbed;
  scored.task = Task::kScore;
  const std::string expected = answer(*engine, text).content;
  EXPECT_EQ(expected, "The capital of France is Paris.");
  const auto replies = answers_at_once(*engine, {text, seen, embedded, text, scored, text});
  for (const size_t i : {0, 3, 5}) EXPECT_EQ(replies[i].content, expected);
  for (const size_t i : {1, 2, 4}) EXPECT_THAT(replies[i].error, HasSubstr("not finite")) << i;
  EXPECT_EQ(engine->stats().running, 0);
}

TEST_F(EngineTest, APictureIsEncodedOnce) {
  const auto engine = open_engine(nano_options());  // one that has seen nothing
  GenerationRequest request = ask("Which text do you see?");
  put_first(request, picture_file("tests/goldens/nano/pictures/ocr-01.png"));
  const Reply first = answer(*engine, request);
  EXPECT_EQ(first.done.usage.pictures_encoded, 1);
  EXPECT_EQ(first.done.usage.vision_tokens, 20);
  // Other words before the picture: its tokens are computed again, its rows are not.
  request.messages.insert(request.messages.begin(), message("system", "Be short."));
  const Reply second = answer(*engine, request);
  EXPECT_EQ(second.done.usage.pictures_encoded, 0);
  EXPECT_EQ(second.done.usage.pictures_reused, 1);
  EXPECT_FALSE(second.content.empty());
}

TEST_F(EngineTest, AClipThatIsCancelledWhileItIsDecodedIsNoError) {
  GenerationRequest request = ask("What happens in the video?");
  put_first(request, clip_file("tests/goldens/media/video/h264.mp4"));
  for (int ms : {0, 2, 5, 10, 20}) {  // at once it only waits; decoding takes longer than these
    auto generation = engine_->submit(request).value();
    std::this_thread::sleep_for(std::chrono::milliseconds(ms));
    generation->cancel();
    const Reply reply = collect(*generation);
    EXPECT_EQ(reply.error, "");
    EXPECT_EQ(reply.done.finish, FinishReason::kCancelled);
  }
}

// Whoever waits behind pictures that are being decoded need not wait to be forgotten.
TEST(EngineQueue, CancelledWhileWaitingToBePrepared) {
  const auto engine = open_engine(nano_options());
  const auto shapes = picture_file(kShapes);
  std::vector<std::shared_ptr<Generation>> pictures;
  for (int i = 0; i < 40; ++i) {
    GenerationRequest request = ask("What is shown?", 2);
    const std::string bytes = *shapes.media->bytes + std::to_string(i);  // none is known
    put_first(request, picture_of(kShapes, bytes));
    pictures.push_back(engine->submit(request).value());
  }
  const auto last = pictures.back();
  pictures.pop_back();
  last->cancel();
  const auto event = last->poll();  // at once
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->kind, Event::Kind::kDone);
  EXPECT_EQ(event->finish, FinishReason::kCancelled);
  EXPECT_FALSE(last->next()) << "nothing after the end";
  for (const auto& other : pictures) EXPECT_EQ(collect(*other).error, "");
}

}  // namespace
}  // namespace godwit::engine
