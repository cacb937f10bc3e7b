// Packs weights into tiles and reads them back (layouts: tile_types.h). Plain C++: packing is
// limited by memory, and the scalar reading is the truth that the kernels are tested against.
#include "kernels/pack.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <mutex>

#include "base/check.h"
#include "base/float16.h"
#include "kernels/matmul.h"
#include "tensor/blocks.h"

namespace godwit::kernels {
namespace {

using tensor::BlockParts;
using tensor::DType;

const TileShape& shape_of(PackedLayout layout) {
  switch (layout) {
    case PackedLayout::kQ8_0:
      return kQ8Shape;
    case PackedLayout::kQ4_0:
    case PackedLayout::kIQ4_NL:
    case PackedLayout::kMXFP4:
      return kQ4Shape;
    case PackedLayout::kQ4_K:
      return kQ4KShape;
    case PackedLayout::kQ5_K:
      return kQ5KShape;
    case PackedLayout::kQ6_K:
      return kQ6KShape;
    case PackedLayout::kIQ4_XS:
      return kIQ4XSShape;
    default:
      CHECK(layout == PackedLayout::kGeneric);
      return kGenericShape;
  }
}

DType dtype_of(PackedLayout layout) {  // of the code book that a layout's codes refer to
  switch (layout) {
    case PackedLayout::kQ4_0:
      return DType::kQ4_0;
    case PackedLayout::kIQ4_NL:
      return DType::kIQ4_NL;
    case PackedLayout::kMXFP4:
      return DType::kMXFP4;
    case PackedLayout::kQ4_K:
      return DType::kQ4_K;
    case PackedLayout::kQ5_K:
      return DType::kQ5_K;
    case PackedLayout::kQ6_K:
      return DType::kQ6_K;
    case PackedLayout::kIQ4_XS:
      return DType::kIQ4_XS;
    default:
      return DType::kQ8_0;
  }
}

bool has_eight_bit_codes(PackedLayout layout) {
  return layout == PackedLayout::kQ8_0 || layout == PackedLayout::kGeneric;
}

// Where a block's header and codes are in its tile.
struct BlockPlace {
  size_t header, codes;
  int in_group;
};
BlockPlace place_of(const TileShape& shape, int64_t block) {
  const size_t group = block / shape.group;
  const int in_group = static_cast<int>(block % shape.group);
  const size_t header = group * (shape.header_bytes + size_t(shape.group) * shape.code_bytes);
  return {header, header + shape.header_bytes + size_t(in_group) * shape.code_bytes, in_group};
}

template <class T>
void put(uint8_t* at, T value) {
  std::memcpy(at, &value, sizeof value);
}
template <class T>
T get(const uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

void put_header(PackedLayout layout, uint8_t* header, int j, int row, const BlockParts& parts,
                int offset) {
  switch (layout) {
    case PackedLayout::kQ8_0:
    case PackedLayout::kQ4_0:
    case PackedLayout::kIQ4_NL:
      put(header + 32 * j + 2 * row, f32_to_f16(parts.scale));
      break;
    case PackedLayout::kMXFP4:
      put(header + 32 * j + 2 * row, f32_to_bf16(parts.scale));
      break;
    case PackedLayout::kQ4_K:
    case PackedLayout::kQ5_K:
      put(header + 2 * row, f32_to_f16(parts.scale));
      put(header + 32 + 2 * row, f32_to_f16(parts.min));
      header[64 + 16 * j + row] = parts.sub_scale[0];
      header[192 + 16 * j + row] = parts.sub_min[0];
      break;
    case PackedLayout::kQ6_K:
      put(header + 2 * row, f32_to_f16(parts.scale));
      for (int h = 0; h < 2; ++h) header[64 + 32 * j + 16 * h + row] = parts.sub_scale[h];
      break;
    case PackedLayout::kIQ4_XS:
      put(header + 2 * row, f32_to_f16(parts.scale));
      header[64 + 16 * j + row] = parts.sub_scale[0];
      break;
    default:  // generic: an offset becomes part of the minimum, exactly: both factors are short
      for (int h = 0; h < 2; ++h) {
        const float scale = parts.scale * parts.sub_scale[h];
        put(header + 64 * h + 4 * row, scale);
        put(header + 128 + 64 * h + 4 * row, parts.min * parts.sub_min[h] + scale * offset);
      }
  }
}

// The 32 codes of one row as eight words, one a step.
void put_codes(PackedLayout layout, uint8_t* codes, int row, const uint8_t* source) {
  uint32_t words[8];
  std::memcpy(words, source, sizeof words);
  uint8_t* lane = codes + 4 * row;
  if (has_eight_bit_codes(layout)) {
    for (int step = 0; step < 8; ++step) put(lane + 64 * step, words[step]);
    return;
  }
  for (int v = 0; v < 4; ++v)
    put(lane + 64 * v, (words[v] & 0x0f0f0f0f) | (words[v + 4] & 0x0f0f0f0f) << 4);
  if (layout == PackedLayout::kQ5_K) {
    uint32_t fifth = 0;
    for (int step = 0; step < 8; ++step) fifth |= ((words[step] >> 4) & 0x01010101) << step;
    put(lane + 256, fifth);
  } else if (layout == PackedLayout::kQ6_K) {
    for (int v = 0; v < 2; ++v) {
      uint32_t top = 0;
      for (int i = 0; i < 4; ++i) top |= ((words[4 * v + i] >> 4) & 0x03030303) << (2 * i);
      put(lane + 256 + 64 * v, top);
    }
  }
}

void get_codes(PackedLayout layout, const uint8_t* codes, int row, uint8_t* target) {
  uint32_t words[8];
  const uint8_t* lane = codes + 4 * row;
  for (int step = 0; step < 8; ++step) {
    if (has_eight_bit_codes(layout)) {
      words[step] = get<uint32_t>(lane + 64 * step);
      continue;
    }
    words[step] = (get<uint32_t>(lane + 64 * (step % 4)) >> (4 * (step / 4))) & 0x0f0f0f0f;
    if (layout == PackedLayout::kQ5_K)
      words[step] |= ((get<uint32_t>(lane + 256) >> step) & 0x01010101) << 4;
    if (layout == PackedLayout::kQ6_K)
      words[step] |=
          ((get<uint32_t>(lane + 256 + 64 * (step / 4)) >> (2 * (step % 4))) & 0x03030303) << 4;
  }
  std::memcpy(target, words, sizeof words);
}

// One tile of a block format: `rows` ≤ 16 rows of the source, the others left zero.
void pack_block_tile(PackedLayout layout, DType dtype, const std::byte* source, size_t row_bytes,
                     int rows, int64_t columns, uint8_t* tile) {
  const TileShape& shape = shape_of(layout);
  const int offset = tensor::code_book(dtype).offset;
  for (int64_t block = 0; block < columns / kBlockColumns; ++block) {
    const BlockPlace place = place_of(shape, block);
    for (int row = 0; row < rows; ++row) {
      BlockParts parts;
      tensor::split_block(dtype, source + row * row_bytes, block, &parts);
      put_header(layout, tile + place.header, place.in_group, row, parts, offset);
      put_codes(layout, tile + place.codes, row, parts.codes);
    }
  }
}

template <class T>
void pack_plain_tile(PackedLayout layout, const std::byte* source, int rows, int64_t columns,
                     uint8_t* tile) {
  const bool pairs = layout == PackedLayout::kBF16;
  for (int row = 0; row < rows; ++row) {
    const std::byte* values = source + row * columns * sizeof(T);
    for (int64_t k = 0; k < columns; ++k) {
      const int64_t at = pairs ? k / 2 * 32 + 2 * row + k % 2 : k * kTileRows + row;
      std::memcpy(tile + at * sizeof(T), values + k * sizeof(T), sizeof(T));
    }
  }
}

// Memory for packed weights. Matrices of ordinary size share pieces of kPieceBytes, which lie in
// huge pages whole, where each alone would have a tail of small ones; a piece goes when its last
// matrix does. Tiny ones stay alone: nothing to gain.
std::shared_ptr<std::byte> allocate_weights(size_t bytes) {
  constexpr size_t kPieceBytes = size_t{64} << 20, kTinyBytes = 64 * 1024;
  struct Piece {
    tensor::AlignedBuffer<std::byte> memory{kPieceBytes};
    size_t used = 0;
  };
  if (bytes < kTinyBytes || bytes > kPieceBytes / 2) {
    auto memory = std::make_shared<tensor::AlignedBuffer<std::byte>>(bytes);
    return {memory, memory->data()};
  }
  static std::mutex mutex;
  static std::weak_ptr<Piece> latest;
  std::lock_guard lock(mutex);
  auto piece = latest.lock();
  if (!piece || piece->used + bytes > kPieceBytes) latest = piece = std::make_shared<Piece>();
  std::byte* data = piece->memory.data() + piece->used;
  piece->used += (bytes + 63) / 64 * 64;
  return {piece, data};
}

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

}  // namespace

PackedLayout packed_layout(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return PackedLayout::kF32;
    case DType::kF16:
      return PackedLayout::kF16;
    case DType::kBF16:
      return PackedLayout::kBF16;
    case DType::kQ8_0:
      return PackedLayout::kQ8_0;
    case DType::kQ4_0:
      return PackedLayout::kQ4_0;
    case DType::kIQ4_NL:
      return PackedLayout::kIQ4_NL;
    case DType::kMXFP4:
      return PackedLayout::kMXFP4;
    case DType::kQ4_K:
      return PackedLayout::kQ4_K;
    case DType::kQ5_K:
      return PackedLayout::kQ5_K;
    case DType::kQ6_K:
      return PackedLayout::kQ6_K;
    case DType::kIQ4_XS:
      return PackedLayout::kIQ4_XS;
    default:
      CHECK_MSG(tensor::dtype_info(dtype).is_weight, "not a weight type");
      return PackedLayout::kGeneric;
  }
}

size_t packed_tile_bytes(PackedLayout layout, int64_t columns) {
  const size_t k = static_cast<size_t>(columns);
  switch (layout) {
    case PackedLayout::kF32:
      return 64 * k;
    case PackedLayout::kF16:
    case PackedLayout::kBF16:
      return 32 * round_up(k, 2);
    default:
      break;
  }
  const TileShape& shape = shape_of(layout);
  const size_t blocks = k / kBlockColumns;
  return round_up(blocks, shape.group) / shape.group * shape.header_bytes +
         blocks * shape.code_bytes;
}

size_t packed_bytes(DType dtype, int64_t rows, int64_t columns) {
  return round_up(static_cast<size_t>(rows), kTileRows) / kTileRows *
         packed_tile_bytes(packed_layout(dtype), columns);
}

void read_packed_block(PackedLayout layout, const uint8_t* tile, int row, int64_t block,
                       PackedBlock* out) {
  const TileShape& shape = shape_of(layout);
  const BlockPlace place = place_of(shape, block);
  const uint8_t* header = tile + place.header;
  const int j = place.in_group;
  out->min[0] = out->min[1] = 0;
  for (int h = 0; h < 2; ++h) {
    switch (layout) {
      case PackedLayout::kQ8_0:
      case PackedLayout::kQ4_0:
      case PackedLayout::kIQ4_NL:
        out->scale[h] = f16_to_f32(get<uint16_t>(header + 32 * j + 2 * row));
        break;
      case PackedLayout::kMXFP4:
        out->scale[h] = bf16_to_f32(get<uint16_t>(header + 32 * j + 2 * row));
        break;
      case PackedLayout::kQ4_K:
      case PackedLayout::kQ5_K:
        out->scale[h] = f16_to_f32(get<uint16_t>(header + 2 * row)) * header[64 + 16 * j + row];
        out->min[h] = f16_to_f32(get<uint16_t>(header + 32 + 2 * row)) * header[192 + 16 * j + row];
        break;
      case PackedLayout::kQ6_K:
        out->scale[h] = f16_to_f32(get<uint16_t>(header + 2 * row)) *
                        static_cast<int8_t>(header[64 + 32 * j + 16 * h + row]);
        break;
      case PackedLayout::kIQ4_XS:
        out->scale[h] = f16_to_f32(get<uint16_t>(header + 2 * row)) *
                        static_cast<int8_t>(header[64 + 16 * j + row]);
        break;
      default:
        out->scale[h] = get<float>(header + 64 * h + 4 * row);
        out->min[h] = get<float>(header + 128 + 64 * h + 4 * row);
    }
  }
  uint8_t codes[32];
  get_codes(layout, tile + place.codes, row, codes);
  const tensor::CodeBook& book = tensor::code_book(dtype_of(layout));
  for (int i = 0; i < 32; ++i)
    out->integers[i] =
        static_cast<int8_t>(layout == PackedLayout::kGeneric ? codes[i] : book.integer(codes[i]));
}

float read_packed_plain(PackedLayout layout, const uint8_t* tile, int row, int64_t column) {
  switch (layout) {
    case PackedLayout::kF32:
      return get<float>(tile + 4 * (column * kTileRows + row));
    case PackedLayout::kF16:
      return f16_to_f32(get<uint16_t>(tile + 2 * (column * kTileRows + row)));
    default:
      CHECK(layout == PackedLayout::kBF16);
      return bf16_to_f32(get<uint16_t>(tile + 2 * (column / 2 * 32 + 2 * row + column % 2)));
  }
}

PackedMatrix PackedMatrix::of(tensor::DType stored_type, int64_t rows, int64_t columns,
                              std::shared_ptr<std::byte> tiles) {
  PackedMatrix packed;
  packed.rows_ = rows;
  packed.columns_ = columns;
  packed.stored_type_ = stored_type;
  packed.layout_ = static_cast<int>(packed_layout(stored_type));
  packed.bytes_ = packed_bytes(stored_type, rows, columns);
  packed.data_ = tiles ? std::move(tiles) : allocate_weights(packed.bytes_);
  return packed;
}

PackedMatrix PackedMatrix::pack(const Context& context, const tensor::TensorView& weight) {
  const PackedLayout layout = packed_layout(weight.dtype);
  const int64_t rows = weight.rows(), columns = weight.columns();
  CHECK(weight.data && rows > 0 && columns > 0);
  const auto row_bytes = tensor::bytes_of(weight.dtype, static_cast<uint64_t>(columns));
  CHECK_MSG(row_bytes.has_value(), "rows of a block format are whole blocks");
  const size_t tile_bytes = packed_tile_bytes(layout, columns);
  const PackedMatrix packed = of(weight.dtype, rows, columns, nullptr);
  const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  context.pool->parallel_for(tiles, [&](int64_t t, int) {
    auto* tile = reinterpret_cast<uint8_t*>(packed.data_.get()) + t * tile_bytes;
    const std::byte* source = weight.data + t * kTileRows * *row_bytes;
    const int count = static_cast<int>(std::min<int64_t>(kTileRows, rows - t * kTileRows));
    std::memset(tile, 0, tile_bytes);
    if (layout == PackedLayout::kF32)
      pack_plain_tile<uint32_t>(layout, source, count, columns, tile);
    else if (is_plain(layout))
      pack_plain_tile<uint16_t>(layout, source, count, columns, tile);
    else
      pack_block_tile(layout, weight.dtype, source, *row_bytes, count, columns, tile);
  });
  return packed;
}

void PackedMatrix::unpack_rows(int64_t first, int64_t count, float* target) const {
  CHECK(first >= 0 && count >= 0 && first + count <= rows_);
  const auto layout = static_cast<PackedLayout>(layout_);
  const size_t tile_bytes = packed_tile_bytes(layout, columns_);
  for (int64_t r = first; r < first + count; ++r, target += columns_) {
    const auto* tile = reinterpret_cast<const uint8_t*>(data_.get()) + r / kTileRows * tile_bytes;
    const int row = static_cast<int>(r % kTileRows);
    if (is_plain(layout)) {
      for (int64_t k = 0; k < columns_; ++k) target[k] = read_packed_plain(layout, tile, row, k);
      continue;
    }
    for (int64_t block = 0; block < columns_ / kBlockColumns; ++block) {
      PackedBlock values;
      read_packed_block(layout, tile, row, block, &values);
      for (int i = 0; i < kBlockColumns; ++i)
        target[block * kBlockColumns + i] =
            values.scale[i / 16] * values.integers[i] - values.min[i / 16];
    }
  }
}

}  // namespace godwit::kernels
