#include "cache/disk_store.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <random>
#include <vector>

#include "base/file.h"
#include "base/folder.h"
#include "base/log.h"

namespace godwit::cache {
namespace fs = std::filesystem;

constexpr char kMagic[8] = {'g', 'o', 'd', 'w', 'i', 't', '\r', '\n'};
constexpr uint32_t kVersion = 2;
constexpr const char* kEnding = ".godwit";
constexpr size_t kMaxHead = size_t{16} << 20;
constexpr size_t kPiece = size_t{256} << 10;         // summed while it is near
constexpr auto kStaleAfter = std::chrono::hours(1);  // an unfinished file of a program that died

struct DiskStore::Header {
  char magic[8];
  uint32_t version, kind;
  Hash128 fingerprint, key, parent;
  int64_t position, parent_position;
  uint64_t sizes[3];  // head, body, tail
  Hash128 sums[3];
  Hash128 header_sum;  // of all before

  Hash128 sum() const { return hash_bytes(this, offsetof(Header, header_sum)); }
  bool is_whole() const {
    return std::memcmp(magic, kMagic, sizeof magic) == 0 && version == kVersion &&
           header_sum == sum() && sizes[0] <= kMaxHead && sizes[1] < (uint64_t{1} << 40) &&
           sizes[2] < (uint64_t{1} << 40);
  }
  uint64_t offset(int section) const {
    uint64_t at = sizeof(Header);
    for (int i = 0; i < section; ++i) at += sizes[i];
    return at;
  }
};

namespace {

std::string hex(const Hash128& hash) { return fmt::format("{:016x}{:016x}", hash.high, hash.low); }
using Parts = std::vector<std::span<std::byte>>;

size_t bytes_of(const Parts& parts) {
  size_t bytes = 0;
  for (const auto part : parts) bytes += part.size();
  return bytes;
}

// Of kPiece bytes each, the last of what is left.
std::vector<Parts> cut_into_pieces(const Parts& parts) {
  std::vector<Parts> pieces;
  size_t room = 0;  // in the last of them
  for (auto part : parts) {
    while (!part.empty()) {
      if (room == 0) {
        pieces.emplace_back();
        room = kPiece;
      }
      const size_t n = std::min(room, part.size());
      pieces.back().push_back(part.first(n));
      part = part.subspan(n);
      room -= n;
    }
  }
  return pieces;
}

// Of a body or tail, from its pieces' sums.
Hash128 sum_of(std::span<const Hash128> pieces) {
  return hash_bytes(pieces.data(), pieces.size_bytes());
}

// In pieces: each is summed while it is near, and others get the core between two of them.
bool write_section(const File& file, const Bytes& section, uint64_t offset, Hash128& sum) {
  std::vector<Hash128> sums;
  for (size_t at = 0; at < section.size(); at += kPiece) {
    const size_t n = std::min(kPiece, section.size() - at);
    sums.push_back(hash_bytes(section.data() + at, n));
    if (!file.write(section.data() + at, n, offset + at)) return false;
  }
  sum = sum_of(sums);
  return true;
}

size_t bytes_of(const Record& record) {
  return record.facts.head.size() + record.body.size() + record.tail.size();
}

}  // namespace

DiskStore::DiskStore(Options options)
    : options_(std::move(options)),
      nonce_(uint64_t{std::random_device{}()} << 32 | std::random_device{}()) {}

Result<std::unique_ptr<DiskStore>> DiskStore::open(Options options) {
  std::error_code error;
  if (fs::create_directories(options.folder, error)) {
    fs::permissions(options.folder, fs::perms::owner_all, error);  // conversations are private
  }
  if (error) return failed("cache folder {}: {}", options.folder, error.message());
  auto store = std::unique_ptr<DiskStore>(new DiskStore(std::move(options)));
  TRY_STATUS(store->scan());
  if (store->bytes_ > store->options_.max_bytes) store->make_room();  // the limit was lowered
  store->writer_ = std::thread([s = store.get()] { s->write_loop(); });
  return store;
}

DiskStore::~DiskStore() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (writer_.joinable()) writer_.join();
}

std::string DiskStore::path_of(const Key& key) const {
  const auto name = fmt::format("{}-{}-{}{}", hex(options_.fingerprint),
                                static_cast<uint32_t>(key.first), hex(key.second), kEnding);
  return (fs::path(options_.folder) / name).string();
}

// Header and head of a file; nothing if they are damaged or not ours.
std::optional<RecordFacts> DiskStore::read_start(const std::string& path, RecordKind& kind,
                                                 Hash128& key) const {
  const File file(path, O_RDONLY);
  Header header{};
  if (!file || !file.read(&header, sizeof header, 0) || !header.is_whole() ||
      header.fingerprint != options_.fingerprint || file.size() != header.offset(3)) {
    return std::nullopt;
  }
  RecordFacts facts{header.parent, header.position, header.parent_position, Bytes(header.sizes[0])};
  if (!file.read(facts.head.data(), facts.head.size(), header.offset(0)) ||
      hash_bytes(facts.head.data(), facts.head.size()) != header.sums[0]) {
    return std::nullopt;
  }
  kind = static_cast<RecordKind>(header.kind);
  key = header.key;
  return facts;
}

Status DiskStore::scan() {
  const std::string ours = hex(options_.fingerprint);
  size_t total = 0;
  remove_stale(options_.folder, std::string(kEnding) + ".", kStaleAfter);
  const auto read = for_each_entry(options_.folder, [&](const fs::directory_entry& entry) {
    const std::string path = entry.path().string(), name = entry.path().filename().string();
    if (!name.ends_with(kEnding)) return;
    std::error_code gone;
    const auto size = entry.file_size(gone);
    if (!gone) total += size;
    if (!name.starts_with(ours)) return;  // another model's, or no file of ours
    RecordKind kind{};
    Hash128 key;
    auto facts = read_start(path, kind, key);
    if (!facts || path_of({kind, key}) != path) {
      log_warn("cache: {} is damaged or foreign: passed over", path);
      return;
    }
    records_[{kind, key}] = std::make_shared<const RecordFacts>(std::move(*facts));
  });
  if (read) return failed("cache folder {}: {}", options_.folder, read.message());
  bytes_ = total;
  return {};
}

void DiskStore::put(Record record) {
  const std::lock_guard lock(mutex_);
  const Key key{record.kind, record.key};
  if (stopping_ || records_.contains(key) || pending_.contains(key)) return;
  if (pending_bytes_ > 0 && pending_bytes_ + bytes_of(record) > options_.max_pending) {
    if (!lagging_)
      log_warn("cache: {} MB wait to be written to {}: more is not kept on disk until they are",
               pending_bytes_ >> 20, options_.folder);
    lagging_ = true;
    return;
  }
  pending_bytes_ += bytes_of(record);
  pending_.insert(key);
  queue_.push_back(std::move(record));
  wake_.notify_one();
}

bool DiskStore::contains(RecordKind kind, const Hash128& key) const {
  const std::lock_guard lock(mutex_);
  return records_.contains({kind, key}) || pending_.contains({kind, key});
}

std::shared_ptr<const RecordFacts> DiskStore::find(RecordKind kind, const Hash128& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = records_.find({kind, key});
  return found == records_.end() ? nullptr : found->second;
}

struct DiskStore::Open {
  std::unique_ptr<File> file;
  Header header;
};

std::optional<DiskStore::Open> DiskStore::open_record(const Key& key) const {
  Open open{std::make_unique<File>(path_of(key), O_RDONLY), {}};
  const File& file = *open.file;
  if (file && file.read(&open.header, sizeof open.header, 0) && open.header.is_whole() &&
      open.header.key == key.second && file.size() == open.header.offset(3))
    return open;
  return std::nullopt;
}

bool DiskStore::read(std::span<const Reading> readings, ComputePool* pool) {
  struct Piece {
    size_t reading, index;
    uint64_t offset;  // in the file
    Parts parts;
  };
  std::vector<Open> files;
  std::vector<Piece> pieces;  // in the order in which the disk is to be read
  std::vector<std::vector<Hash128>> sums;
  for (const Reading& wanted : readings) {
    auto file = open_record({wanted.kind, wanted.key});
    const uint64_t size = file ? file->header.sizes[wanted.section] : 0;
    if (!file || size != bytes_of(wanted.parts)) {
      drop_damaged({wanted.kind, wanted.key});
      return false;
    }
    const uint64_t begin = file->header.offset(wanted.section);
    std::vector<Parts> cut = cut_into_pieces(wanted.parts);
    for (size_t i = 0; i < cut.size(); ++i)
      pieces.push_back({files.size(), i, begin + i * kPiece, std::move(cut[i])});
    sums.emplace_back(cut.size());
    files.push_back(std::move(*file));
  }
  // In order, whoever is free: the disk sees one stream. (Asking it for pieces ahead breaks the
  // system's own reading ahead, in large pages: twice the time.)
  std::atomic<size_t> next = 0;
  const auto read_next = [&](int64_t, int) {
    const size_t at = next++;
    const Piece& piece = pieces[at];
    // Unread, the sum will differ.
    if (files[piece.reading].file->read(piece.parts, piece.offset))
      sums[piece.reading][piece.index] = hash_parts(piece.parts);
  };
  const auto count = static_cast<int64_t>(pieces.size());
  if (pool) {
    pool->parallel_for(count, read_next);
  } else {
    for (int64_t i = 0; i < count; ++i) read_next(i, 0);
  }
  bool whole = true;
  for (size_t r = 0; r < readings.size(); ++r) {
    if (sum_of(sums[r]) == files[r].header.sums[readings[r].section]) continue;
    drop_damaged({readings[r].kind, readings[r].key});
    whole = false;
  }
  return whole;
}

void DiskStore::drop_damaged(const Key& key) {
  log_warn("cache: {} is gone or damaged: passed over", path_of(key));
  forget(key.first, key.second);
}

void DiskStore::forget(RecordKind kind, const Hash128& key) {
  const std::lock_guard lock(mutex_);
  records_.erase({kind, key});
}

std::optional<Bytes> DiskStore::read_section(const Key& key, Reading::Section section) {
  const auto file = open_record(key);
  Bytes bytes(file ? file->header.sizes[section] : 0);
  const Reading wanted{key.first, key.second, section, {bytes.span()}};
  if (read({&wanted, 1}, nullptr)) return bytes;
  return std::nullopt;
}

std::optional<Bytes> DiskStore::read_body(RecordKind kind, const Hash128& key) {
  return read_section({kind, key}, Reading::kBody);
}
std::optional<Bytes> DiskStore::read_tail(RecordKind kind, const Hash128& key) {
  return read_section({kind, key}, Reading::kTail);
}

void DiskStore::used(RecordKind kind, const Hash128& key) {
  std::error_code error;  // the file may be gone: that is found out when it is read
  fs::last_write_time(path_of({kind, key}), fs::file_time_type::clock::now(), error);
}

void DiskStore::for_each(
    RecordKind kind, const std::function<void(const Hash128&, const RecordFacts&)>& visit) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [key, facts] : records_) {
    if (key.first == kind) visit(key.second, *facts);
  }
}

void DiskStore::write_loop() {
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 10);  // whoever computes goes first
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;  // stopping, and all is written
    Record record = std::move(queue_.front());
    queue_.pop_front();
    writing_ = true;
    lock.unlock();
    const Status written = write(record);
    if (written) make_room();
    lock.lock();
    writing_ = false;
    pending_bytes_ -= bytes_of(record);
    pending_.erase({record.kind, record.key});
    if (written) {
      records_[{record.kind, record.key}] =
          std::make_shared<const RecordFacts>(std::move(record.facts));
    } else {
      log_warn("cache: {}", written.error().message);
    }
    if (queue_.empty()) {
      lagging_ = false;
      idle_.notify_all();
    }
  }
}

Status DiskStore::write(const Record& record) {
  const Bytes* sections[3] = {&record.facts.head, &record.body, &record.tail};
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.kind = static_cast<uint32_t>(record.kind);
  header.fingerprint = options_.fingerprint;
  header.key = record.key;
  header.parent = record.facts.parent;
  header.position = record.facts.position;
  header.parent_position = record.facts.parent_position;
  const Bytes& head = record.facts.head;
  header.sums[0] = hash_bytes(head.data(), head.size());
  for (int i = 0; i < 3; ++i) header.sizes[i] = sections[i]->size();

  const std::string path = path_of({record.kind, record.key});
  // Another program, or another model of this one, may be writing the same record.
  const std::string unfinished = fmt::format("{}.{}", path, nonce_);
  bool whole = false;
  {
    const File file(unfinished, O_WRONLY | O_CREAT | O_TRUNC);
    whole = file && file.write(head.data(), head.size(), header.offset(0));
    for (int i = 1; i < 3 && whole; ++i)
      whole = write_section(file, *sections[i], header.offset(i), header.sums[i]);
    header.header_sum = header.sum();
    whole = whole && file.write(&header, sizeof header, 0);
  }
  if (whole && ::rename(unfinished.c_str(), path.c_str()) == 0) return {};
  const int reason = errno;
  ::unlink(unfinished.c_str());
  return failed("{}: cannot write: {}", path, std::strerror(reason));
}

// Removes files that were used longest ago until the folder is within its limit.
void DiskStore::make_room() {
  std::vector<KeptFile> files = files_by_use(options_.folder, kEnding);
  const auto removed = remove_first(files, options_.max_bytes);
  bytes_ = total_bytes(files);
  if (removed.empty()) return;
  const std::set<std::string_view> gone(removed.begin(), removed.end());
  const std::lock_guard lock(mutex_);
  std::erase_if(records_, [&](const auto& record) { return gone.contains(path_of(record.first)); });
}

void DiskStore::flush() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [&] { return queue_.empty() && !writing_; });
}

}  // namespace godwit::cache
