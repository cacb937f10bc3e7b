#include "model/packed_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "base/file.h"
#include "base/folder.h"
#include "base/sha256.h"
#include "kernels/matmul.h"
#include "kernels/pack.h"

namespace godwit::model {
namespace {

namespace fs = std::filesystem;
using tensor::DType;

constexpr char kMagic[16] = "godwit packed 1";
constexpr size_t kPage = 4096;
constexpr size_t kChunk = size_t{1} << 20;  // read and, while it is near, summed as one task
constexpr size_t kSamples = 32;             // of each file, for its fingerprint

struct Head {
  char magic[16];
  char fingerprint[64];
};
struct PackedTail {
  uint64_t table, entries, sum;  // where the table is, and its sum
  uint64_t synced;               // 1: on the disk before it had its name
  char magic[16];
};
static_assert(sizeof(PackedEntry) == 56 && sizeof(PackedTail) == 48);

// Not against an enemy: finds damage, at the speed of memory. Eight lanes of words.
uint64_t sum_of(std::span<const std::byte> bytes) {
  constexpr uint64_t kPrime = 0x9e3779b97f4a7c15;
  uint64_t lanes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  size_t at = 0;
  for (; at + 64 <= bytes.size(); at += 64) {
    uint64_t words[8];
    std::memcpy(words, bytes.data() + at, 64);
    for (int i = 0; i < 8; ++i) {
      lanes[i] = (lanes[i] ^ words[i]) * kPrime;
      lanes[i] ^= lanes[i] >> 29;
    }
  }
  uint64_t sum = bytes.size();
  for (const uint64_t lane : lanes) sum = (sum ^ lane) * kPrime ^ (sum >> 31);
  for (; at < bytes.size(); ++at) sum = (sum ^ static_cast<uint8_t>(bytes[at])) * kPrime;
  return sum ^ (sum >> 32);
}
uint64_t sum_of(std::string_view text) { return sum_of(std::as_bytes(std::span(text))); }

// A chunk's sum with its place, so that they can be added in any order.
uint64_t chunk_sum(std::span<const std::byte> chunk, size_t index) {
  return sum_of(chunk) * (2 * index + 1);
}

uint64_t sum_on_all_cores(const kernels::Context& context, std::span<const std::byte> bytes) {
  std::atomic<uint64_t> sum = 0;
  const auto chunks = static_cast<int64_t>((bytes.size() + kChunk - 1) / kChunk);
  context.pool->parallel_for(chunks, [&](int64_t i, int) {
    const size_t first = i * kChunk;
    sum += chunk_sum(bytes.subspan(first, std::min(kChunk, bytes.size() - first)), i);
  });
  return sum;
}

// What packing makes of known bytes, for every type: another layout has another fingerprint.
void add_layouts(const kernels::Context& context, std::string& text) {
  constexpr int64_t kRows = 16, kColumns = 512;
  for (int number = 0; number < 256; ++number) {
    const tensor::DTypeInfo* info = tensor::find_dtype_by_gguf_number(number);
    if (!info || !info->is_weight) continue;
    std::vector<std::byte> bytes(tensor::bytes_of(info->dtype, kRows * kColumns).value());
    uint32_t state = 35;
    for (std::byte& byte : bytes)
      byte = static_cast<std::byte>((state = state * 1664525 + 1013904223) >> 24);
    const auto packed = kernels::PackedMatrix::pack(
        context, {bytes.data(), info->dtype, tensor::Shape{kRows, kColumns}});
    text += fmt::format("{} {:x}\n", info->name, sum_of({packed.data(), packed.bytes()}));
  }
}

// Reads rather than maps: a page that is missing in a mapped file brings megabytes of its
// neighbours.
Status add_file(const std::string& path, std::string& text) {
  std::error_code error;
  const auto changed = fs::last_write_time(path, error);
  const size_t size = error ? 0 : fs::file_size(path, error);
  if (error) return failed("{}: {}", path, error.message());
  const File file(path, O_RDONLY);
  text += fmt::format("{} {}", size, changed.time_since_epoch().count());
  const auto place = [&](size_t sample) { return size / kSamples * sample / kPage * kPage; };
  for (size_t i = 0; i < kSamples; ++i) file.will_need(place(i), kPage);
  for (size_t i = 0; i < kSamples && size > 0; ++i) {
    std::byte page[kPage];
    const std::span<std::byte> bytes(page, std::min(kPage, size - place(i)));
    if (!file.read(bytes.data(), bytes.size(), place(i))) return failed("{}: cannot be read", path);
    text += fmt::format(" {:x}", sum_of(bytes));
  }
  text += '\n';
  return {};
}

}  // namespace

Result<PackedPlace> packed_place(const std::string& folder, const checkpoint::ModelFiles& files,
                                 const kernels::Context& context) {
  std::string text = fmt::format("{}\n", kernels::kPackedVersion);
  add_layouts(context, text);
  const checkpoint::TensorSource* sources[] = {
      files.gguf.get(), files.gguf ? nullptr : files.tensors.get(), files.mmproj.get()};
  for (const checkpoint::TensorSource* source : sources) {
    if (!source) continue;
    const std::vector<std::string> paths = source->paths();
    if (paths.empty()) return failed("{}: not a file", source->description());
    for (const std::string& path : paths) TRY_STATUS(add_file(path, text));
    for (const std::string& name : source->names()) {
      const auto view = source->find(name);
      text += fmt::format("{} {} {}\n", name, tensor::dtype_info(view->dtype).name,
                          view->shape.to_string());
    }
  }
  PackedPlace place;
  place.fingerprint = sha256_hex(text);
  place.path = (fs::path(folder) / (place.fingerprint.substr(0, 32) + ".packed")).string();
  return place;
}

Status make_packed_room(const std::string& folder, size_t bytes, size_t limit) {
  if (bytes > limit)
    return failed("{} MB are more than the {} MB that may be kept", bytes >> 20, limit >> 20);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return failed("{}: {}", folder, error.message());
  remove_stale(folder, ".packed.", std::chrono::hours(24));  // of programs that died
  std::vector<KeptFile> kept = files_by_use(folder, ".packed");
  const uint64_t all = total_bytes(kept);
  // What all files may take, so that a tenth of the disk stays free.
  auto allowed = static_cast<int64_t>(limit);
  if (const fs::space_info space = fs::space(folder, error); !error)
    allowed = std::min(allowed, static_cast<int64_t>(all + space.available) -
                                    static_cast<int64_t>(space.capacity / 10));
  // Where not even an empty folder has the room, nobody's file goes.
  const int64_t for_others = allowed - static_cast<int64_t>(bytes);
  if (for_others >= 0) remove_first(kept, static_cast<uint64_t>(for_others));
  if (static_cast<int64_t>(total_bytes(kept)) > for_others)
    return failed("{}: the disk has too little room for {} MB", folder, bytes >> 20);
  return {};
}

Result<std::shared_ptr<PackedFile>> PackedFile::open(const std::string& path,
                                                     const std::string& fingerprint) {
  auto packed = std::make_shared<PackedFile>();
  TRY(packed->file_, MappedFile::open(path));
  const File file(path, O_RDONLY);
  const size_t size = packed->file_.bytes().size();
  PackedTail tail;
  Head head;
  if (size < kPage + sizeof tail || !file.read(&head, sizeof head, 0) ||
      !file.read(&tail, sizeof tail, size - sizeof tail))
    return failed("{}: cut short", path);
  const size_t room = size - sizeof tail;
  if (std::memcmp(head.magic, kMagic, sizeof kMagic) != 0 ||
      std::memcmp(tail.magic, kMagic, sizeof kMagic) != 0 ||
      std::string_view(head.fingerprint, sizeof head.fingerprint) != fingerprint)
    return failed("{}: not the packed weights that are looked for", path);
  std::vector<PackedEntry>& entries = packed->entries_;
  const bool fits = tail.entries <= room / sizeof(PackedEntry) &&
                    tail.table == room - tail.entries * sizeof(PackedEntry);
  if (fits) entries.resize(tail.entries);
  const auto table = std::as_writable_bytes(std::span(entries));
  const auto lies_before_table = [&](const PackedEntry& entry) {
    return entry.offset % kPage == 0 && entry.offset <= tail.table &&
           entry.bytes <= tail.table - entry.offset;
  };
  if (!fits || !file.read(table.data(), table.size(), tail.table) || sum_of(table) != tail.sum ||
      !std::all_of(entries.begin(), entries.end(), lies_before_table))
    return failed("{}: its table is damaged", path);
  packed->synced_ = tail.synced == 1;
  std::error_code ignored;  // the time of use, for make_packed_room()
  fs::last_write_time(path, fs::file_time_type::clock::now(), ignored);
  return packed;
}

const PackedEntry* PackedFile::find(std::string_view name, DType dtype, int64_t rows,
                                    int64_t columns) const {
  const uint64_t wanted = sum_of(name);
  const auto found =
      std::lower_bound(entries_.begin(), entries_.end(), wanted,
                       [](const PackedEntry& e, uint64_t value) { return e.name < value; });
  if (found == entries_.end() || found->name != wanted || found->dtype != dtype ||
      found->rows != rows || found->columns != columns)
    return nullptr;
  return &*found;
}

bool PackedFile::read(const kernels::Context& context, const std::vector<Read>& reads) const {
  const File file(file_.path(), O_RDONLY);
  struct Chunk {
    size_t read, index;
  };
  std::vector<Chunk> chunks;
  for (size_t r = 0; r < reads.size(); ++r) {
    for (size_t i = 0; i * kChunk < reads[r].entry->bytes; ++i) chunks.push_back({r, i});
  }
  std::vector<std::atomic<uint64_t>> sums(reads.size());
  tensor::AlignedBuffer<std::byte> scratch(context.pool->threads() * kChunk);
  std::atomic<size_t> next = 0;  // in the file's order, whoever is free: the disk sees one stream
  context.pool->parallel_for(static_cast<int64_t>(chunks.size()), [&](int64_t, int worker) {
    const auto [r, index] = chunks[next++];
    const size_t first = index * kChunk, size = std::min(kChunk, reads[r].entry->bytes - first),
                 offset = reads[r].entry->offset + first;
    // Unread, the sum will differ.
    // What stays mapped is read all the same: the system then fetches far ahead, in large pieces.
    std::byte* target = reads[r].target ? reads[r].target + first : &scratch[worker * kChunk];
    if (file.read(target, size, offset)) sums[r] += chunk_sum({target, size}, index);
  });
  for (size_t r = 0; r < reads.size(); ++r)
    if (sums[r] != reads[r].entry->sum) return false;
  return true;
}

Result<PackedFileWriter> PackedFileWriter::create(const std::string& path,
                                                  const std::string& fingerprint) {
  const std::string part = fmt::format("{}.{}", path, ::getpid());
  TRY(auto file, checkpoint::OutputFile::create(part));
  Head head;
  std::memcpy(head.magic, kMagic, sizeof kMagic);
  CHECK(fingerprint.size() == sizeof head.fingerprint);
  std::memcpy(head.fingerprint, fingerprint.data(), sizeof head.fingerprint);
  TRY_STATUS(file.write(std::as_bytes(std::span(&head, 1))));
  return PackedFileWriter(path, part, std::move(file));
}

Status PackedFileWriter::add(const kernels::Context& context, std::string_view name, DType dtype,
                             int64_t rows, int64_t columns, std::span<const std::byte> bytes) {
  TRY_STATUS(file_.pad_to(kPage));
  entries_.push_back({sum_of(name),
                      rows,
                      columns,
                      file_.size(),
                      bytes.size(),
                      sum_on_all_cores(context, bytes),
                      dtype,
                      {}});
  return file_.write(bytes);
}

Status PackedFileWriter::commit(Durable durable) {
  std::sort(entries_.begin(), entries_.end(), [](auto& a, auto& b) { return a.name < b.name; });
  TRY_STATUS(file_.pad_to(kPage));
  const auto table = std::as_bytes(std::span(entries_));
  const bool sync = durable == Durable::kNow;
  PackedTail tail{file_.size(), entries_.size(), sum_of(table), sync, {}};
  std::memcpy(tail.magic, kMagic, sizeof kMagic);
  TRY_STATUS(file_.write(table));
  TRY_STATUS(file_.write(std::as_bytes(std::span(&tail, 1))));
  if (sync) TRY_STATUS(file_.sync());
  TRY_STATUS(file_.commit());
  std::error_code error;
  fs::rename(part_, path_, error);
  if (!error) return {};
  std::error_code ignored;
  fs::remove(part_, ignored);
  return failed("{}: cannot write: {}", path_, error.message());
}

}  // namespace godwit::model
