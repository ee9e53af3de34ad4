// The bytes of one layer: read from its place, checked against its digests, decompressed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/result.h"
#include "common/unique_fd.h"
#include "vch/image/sha256.h"

struct archive;

namespace vch {

// Where a layer lies, and what it must be. Empty digests are not checked.
struct Layer {
  std::string label;                     // "layer 2 (sha256:...)"
  std::shared_ptr<common::UniqueFd> fd;  // the blob, or the archive around it; read by pread
  uint64_t offset = 0;
  uint64_t size = 0;    // of the stored, compressed bytes
  std::string digest;   // of the stored bytes
  std::string diff_id;  // of the decompressed bytes
};

struct ArchiveFree {
  void operator()(archive* a) const;
};
using Archive = std::unique_ptr<archive, ArchiveFree>;

// Gzip, zstd and uncompressed, told by content. Errors begin with the layer's label. Not movable:
// libarchive holds its address.
class LayerStream {
 public:
  // `on_read` is told of each count of stored bytes read.
  static common::Result<std::unique_ptr<LayerStream>> open(
      const Layer& layer, std::function<void(uint64_t)> on_read = {});
  LayerStream(const LayerStream&) = delete;
  LayerStream& operator=(const LayerStream&) = delete;

  // The next decompressed bytes, valid until the next call; empty at the end.
  common::Result<std::string_view> next();
  // Reads what is left and compares sizes and digests.
  common::Status verify();
  // After a failure to make sense of the bytes: the reason behind it when they are not the right
  // bytes, else `error`.
  common::Error explain(common::Error error);

 private:
  LayerStream(const Layer& layer, std::function<void(uint64_t)> on_read)
      : layer_(layer), on_read_(std::move(on_read)) {}
  common::Result<std::string_view> read_stored();
  common::Status check_stored();
  common::Error failure() const;

  const Layer layer_;
  const std::function<void(uint64_t)> on_read_;
  std::string buffer_;
  uint64_t read_ = 0;
  bool ended_ = false;  // no more decompressed bytes
  common::Status read_status_;
  Sha256 stored_hash_;
  Sha256 plain_hash_;
  Archive decompressor_;
};

}  // namespace vch
