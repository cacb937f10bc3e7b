// EngineCore: what the engine thread owns and does, one step at a time. Not for any other thread.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cache/page_pool.h"
#include "cache/prefix_files.h"
#include "cache/prefix_tree.h"
#include "engine/drafter.h"
#include "engine/runner.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "engine/settings.h"
#include "engine/turn_memory.h"

namespace godwit::engine {

class EngineCore {
 public:
  struct Parts {
    const model::Model& model;
    ComputePool& compute;
    const Settings& settings;
    const Conventions& conventions;
    const text::Tokenizer& tokenizer;
    const EngineOptions& options;
    VisionStore& vision;
    TurnMemory& turns;
    cache::DiskStore* store;  // null: nothing is kept on disk
  };
  static Result<std::unique_ptr<EngineCore>> create(const Parts& parts);
  ~EngineCore();  // CHECKs that every page was given back

  void add(std::unique_ptr<Sequence> sequence);
  bool idle() const { return sequences_.empty(); }
  // Takes out what was cancelled, lets in what fits, runs one forward() and hands out the events.
  void step();
  // After the counts of a step can be seen: hands out the last events of what ended in it.
  void deliver_ends();
  // For while there is nothing else to do, in pieces of a page (the first recurrent blocks: as a
  // whole): memory is made ready for the next request, and what ended is kept on disk.
  bool has_chores() const { return !is_ready_ || !spills_.empty(); }
  void do_chore();
  void fail_all(const std::string& reason);  // every request ends with an error

  const EngineStats& stats() const { return stats_; }

 private:
  EngineCore(const Parts& parts, std::unique_ptr<cache::PagePool> pool);

  void drop_cancelled();
  void admit();
  bool is_held(Sequence& sequence);
  void start(Sequence& sequence);
  std::unique_ptr<cache::SequenceMemory> new_memory();
  bool uses_prefix(const Sequence& sequence) const;
  // Tokens that may be reused at most: rows that the answer is made of must be computed.
  static int64_t reuse_limit(const Sequence& sequence);
  bool attach_prefix(Sequence& sequence);
  // Where the last conversation could go on; 0: nowhere.
  int64_t last_position(std::span<const cache::Key> keys, int64_t limit) const;
  // Goes on from the last conversation if that reaches further than `match`, with its last
  // positions taken back.
  bool attach_last(Sequence& sequence, const std::vector<cache::Key>& keys, int64_t limit,
                   cache::PrefixMatch& match);
  bool attach_snapshot(Sequence& sequence, const cache::PrefixMatch& match);
  // `limit`: what could have been reused at most.
  void explain_reuse(Sequence& sequence, const cache::PrefixMatch& match, int64_t limit);
  std::vector<Runner::Work> reserve_step();
  void preempt(Scheduler::Id id);
  void run(std::span<const Runner::Work> work);
  std::vector<int64_t> stops_within(const Sequence& sequence, int64_t begin, int64_t end) const;
  void plan_pauses(Runner::Work& work);
  void plan_drafts(std::vector<Runner::Work>& work);
  static void push_progress(const Sequence& sequence, int64_t done);
  void after_share(const Runner::Work& work);
  void pool_rows(Sequence& sequence, tensor::ConstMatrixView rows);
  // False: the request ended with an error.
  bool take_scores(Sequence& sequence, int64_t first, size_t row);
  void finish_embedding(Sequence& sequence);
  bool wants_snapshot(const Sequence& sequence, int64_t position) const;
  void keep_snapshot(Sequence& sequence);
  void keep_long_answer(Sequence& sequence);
  // The token of logits row `row`, and of those behind it as long as the drafts are right.
  void take_tokens(Sequence& sequence, const Runner::Work& work, size_t row);
  void drop_drafts(Sequence& sequence);
  // One more token. False: the answer is over (finished).
  bool take_token(Sequence& sequence, std::span<float> logits);
  bool append(Sequence& sequence, int32_t id, std::optional<TokenLogprob> logprob);
  bool close_thought(Sequence& sequence);  // as append()
  void finish(Sequence& sequence, FinishReason reason);
  void fail(Sequence& sequence, const std::string& reason);
  void remember_turn(const Sequence& sequence, bool is_cut);
  void take_back_stop_string(Sequence& sequence);
  bool make_ready(int64_t pages);
  void spill_page();
  void plan_spill(const Sequence& sequence);
  void remove(Scheduler::Id id);
  TokenLimits token_limits() const;
  void verify() const;
  void update_stats();

  const Parts parts_;
  std::unique_ptr<cache::PagePool> pool_;
  cache::BlockPool blocks_;
  cache::PrefixTree tree_;
  std::optional<cache::PrefixFiles> files_;
  Scheduler scheduler_;
  Runner runner_;
  std::optional<Drafter> drafter_;
  std::map<Scheduler::Id, std::unique_ptr<Sequence>> sequences_;
  struct {
    std::vector<cache::Key> keys;
    std::unique_ptr<cache::SequenceMemory> memory;  // null: there is none, or pages ran short
  } last_;                                          // what ended last, with its log
  Scheduler::Id next_id_ = 1;
  const cache::Undo undo_;
  std::vector<int32_t> newline_;  // what the template puts behind a turn
  EngineStats stats_;
  std::vector<std::pair<std::shared_ptr<EventChannel>, Event>> ended_;
  std::deque<cache::PrefixFiles::Spill> spills_;
  int blocks_to_make_ = 0;
  bool is_ready_ = true;  // no memory is to be made ready
};

}  // namespace godwit::engine
