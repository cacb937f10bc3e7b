// Engine: the only door. One engine thread owns model, caches, scheduler and sampler; requests go
// in, events come out.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/request.h"

namespace godwit::engine {

constexpr int kMaxDrafts = 4;  // of one step: five rows cost little more than one

struct EngineOptions {
  std::string model;   // folder or .gguf
  std::string mmproj;  // empty: found beside a .gguf
  int threads = 0;     // 0: chosen from the processor's topology and a probe (threads.h)
  int threads_decode = 0, threads_vision = 0;  // 0: as `threads`, or chosen
  std::string machine_folder;                  // keeps what the probe found; empty: no probe
  int64_t context = 0;          // longest sequence; 0: what the model allows, at most 32,768
  std::string kv_type = "f16";  // f32, f16, bf16, q8
  int prefill_chunk = 512;      // tokens of one forward() at most
  int max_sequences = 8;        // decoding at the same time
  int vision_ms = 200;   // of a step, for pictures, beside which others get their next token; a
                         // block of the tower at least
  int queue_limit = 64;  // waiting requests; beyond: refused
  // Decoded pictures that wait to be encoded; beyond, those of later requests are not decoded yet.
  size_t decoded_bytes = size_t{256} << 20;
  size_t cache_bytes = 0;  // for pages and snapshots; 0: a quarter of the free memory, at most what
                           // the context needs × sequences
  bool prefix_cache = true;
  // Generated positions at the end of the last conversation that can be taken back without a
  // snapshot. 0: none; −1: 64 where one sequence runs at a time and prefixes are kept, else none
  // (each that runs pays for its log).
  int undo_window = -1;
  // Tokens that the model's drafting head may propose for a step, 0 … 4: those that the sampler
  // picks anyway are kept, so the answer is the same. How many pay is measured, none included;
  // `draft_always`: so many whatever they cost (tests, bench).
  int draft_tokens = 0;
  bool draft_always = false;
  // Assistant turns that a client sends back: "kept" uses the tokens that were generated if they
  // say the same, so that nothing is computed again; "official" renders them as the template does
  // (which drops earlier reasoning).
  std::string history = "kept";
  std::string cache_folder;  // prefixes, rows of pictures and turns that survive; empty: nothing is
                             // kept on disk
  size_t cache_disk_bytes = size_t{8} << 30;  // of that folder
  std::string packed_folder;  // packed weights for the next start; empty: they are not kept
  size_t packed_disk_bytes = size_t{64} << 30;
  bool checked = false;  // every page and snapshot is counted after every step (tests)
};

// Bytes that one conversation makes resident when it fills the context (memory_plan.h).
struct MemoryPlan {
  size_t weights = 0, kv_pages = 0, snapshots = 0, recurrent = 0, workspace = 0, tokenizer = 0,
         other = 0;
  // What more conversations at once, and prefixes that are kept, may make of the total.
  size_t limit = 0;
  size_t on_disk = 0;  // experts that stay in a mapped file, because memory is short; not counted
  size_t total() const {
    return weights + kv_pages + snapshots + recurrent + workspace + tokenizer + other;
  }
};

struct ModelInfo {
  std::string name, path, template_name, template_note;
  int64_t parameters = 0, text_parameters = 0, vision_parameters = 0, mtp_parameters = 0,
          context = 0, vocabulary = 0;
  int layers = 0, attention_layers = 0, hidden = 0, experts = 0;
  bool vision = false, drafting = false;
  std::string weight_types;  // "BF16" or "Q4_K, Q6_K, F32"
  std::string isa, cpu;
  int threads = 0, threads_decode = 0, threads_vision = 0;
  MemoryPlan memory;
};

struct EngineStats {
  int64_t requests = 0, refused = 0, running = 0, waiting = 0, preempted = 0;
  int64_t prompt_tokens = 0, reused_tokens = 0, generated_tokens = 0;
  int64_t pages_total = 0, pages_used = 0, snapshots = 0, snapshot_bytes = 0;
  int64_t cache_disk_bytes = 0;                   // of the cache folder, which models may share
  int64_t cache_bytes = 0, cache_bytes_used = 0;  // of those pages; snapshots lie in them
  // Lookups in the prefix tree, one a request, by why no more was reused: all that could be was; no
  // token was known; the tokens parted from what is known; known tokens (a page or more) had no
  // snapshot to go on from.
  int64_t reuse_whole = 0, reuse_unknown = 0, reuse_diverged = 0, reuse_no_snapshot = 0;
  int64_t undone_positions = 0;  // taken back without computing anew
  int64_t pictures_encoded = 0, pictures_reused = 0;
  int64_t decoded_bytes = 0;  // of pictures that wait to be encoded
  // Drafts that were verified, and those that were right, by their place after the last token.
  std::array<int64_t, kMaxDrafts> drafted{}, drafts_accepted{};
  double prefill_seconds = 0, decode_seconds = 0;
};

// One request under way. Any thread may use it.
class Generation {
 public:
  virtual ~Generation() = default;
  virtual std::optional<Event> next() = 0;  // waits; nullopt after kDone or kError was taken
  virtual std::optional<Event> poll() = 0;  // does not wait; nullopt: nothing now
  // Called (from the engine thread; must not block) whenever an event was added. Set before the
  // first wait.
  virtual void on_event(std::function<void()> notify) = 0;
  virtual void
  cancel() = 0;  // a flag that the engine reads between steps; kDone (kCancelled) follows
};

class Engine {
 public:
  static Result<std::unique_ptr<Engine>> open(const EngineOptions& options);
  // What open() would need, from headers alone.
  static Result<ModelInfo> plan(const EngineOptions& options);
  virtual ~Engine() = default;

  // Never blocks. A full queue or a bad request comes back as an Error (kFailed or kBadInput).
  virtual Result<std::shared_ptr<Generation>> submit(GenerationRequest request) = 0;

  virtual const ModelInfo& info() const = 0;
  virtual EngineStats stats() const = 0;

  // Any thread.
  virtual std::vector<int32_t> tokenize(const std::string& text, bool recognise_special) const = 0;
  virtual std::string detokenize(const std::vector<int32_t>& ids) const = 0;
  virtual Result<std::string> render(
      const GenerationRequest& request) const = 0;  // the prompt's text
  // The prompt as it would be run, pictures and clips with it; also one that is too long for the
  // context.
  virtual Result<std::vector<int32_t>> prompt_ids(const GenerationRequest& request) = 0;
};

}  // namespace godwit::engine
