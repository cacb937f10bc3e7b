// A file of packed weights: what loading made once, so that the next start only reads it.
//
//   magic · sha-256 of what it was made from          (page)
//   weights, each from a page's beginning
//   table: PackedEntry …
//   PackedTail
//
// Its name is the fingerprint of the checkpoint's files and of the layouts that packing makes, so
// a file that is found is the right one. It is written under a name of its own and renamed when
// whole; a cut or damaged one is found by its sums and made again. Experts that stay on disk are
// too many to be summed at each start: a file that was synced is believed for them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "checkpoint/model_folder.h"
#include "checkpoint/output_file.h"
#include "kernels/context.h"
#include "tensor/view.h"

namespace godwit::model {

struct PackedEntry {
  uint64_t name;  // sum of its characters
  int64_t rows, columns;
  uint64_t offset, bytes, sum;
  tensor::DType dtype;  // as stored in the checkpoint
  uint8_t unused[7];
};

class PackedFile {
 public:
  // An error: not there, or not whole, or of another fingerprint.
  static Result<std::shared_ptr<PackedFile>> open(const std::string& path,
                                                  const std::string& fingerprint);
  // Null if it has none of that name, type and shape.
  const PackedEntry* find(std::string_view name, tensor::DType dtype, int64_t rows,
                          int64_t columns) const;
  std::span<const std::byte> bytes(const PackedEntry& entry) const {
    return file_.bytes().subspan(entry.offset, entry.bytes);
  }
  bool is_synced() const { return synced_; }  // was written with Durable::kNow
  struct Read {
    const PackedEntry* entry;
    std::byte* target;  // [entry->bytes]; null: it stays in the file, and is summed
  };
  // On all cores. False if the file cannot be read or a sum differs.
  bool read(const kernels::Context& context, const std::vector<Read>& reads) const;
  bool settle_next() { return file_.settle_next(); }  // see MappedFile

 private:
  MappedFile file_;
  bool synced_ = false;
  std::vector<PackedEntry> entries_;  // by name
};

class PackedFileWriter {
 public:
  static Result<PackedFileWriter> create(const std::string& path, const std::string& fingerprint);
  Status add(const kernels::Context& context, std::string_view name, tensor::DType dtype,
             int64_t rows, int64_t columns, std::span<const std::byte> bytes);
  // kNow: on the disk before it has its name, so that not even a power cut leaves a damaged one.
  enum class Durable { kLater, kNow };
  Status commit(Durable durable);

 private:
  PackedFileWriter(std::string path, std::string part, checkpoint::OutputFile file)
      : path_(std::move(path)), part_(std::move(part)), file_(std::move(file)) {}
  std::string path_, part_;
  checkpoint::OutputFile file_;
  std::vector<PackedEntry> entries_;
};

// Where a checkpoint's packed weights are kept.
struct PackedPlace {
  std::string path, fingerprint;
};
// Fails if the checkpoint is not made of files.
Result<PackedPlace> packed_place(const std::string& folder, const checkpoint::ModelFiles& files,
                                 const kernels::Context& context);
// Makes the folder, and room in it for `bytes` more: files of other models go, the longest unused
// first, until all are at most `limit` and a tenth of the disk stays free.
Status make_packed_room(const std::string& folder, size_t bytes, size_t limit);

}  // namespace godwit::model
