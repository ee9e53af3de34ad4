#include "vch/image/layer_stream.h"

#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>

#include <algorithm>

#include "vch/image/image_error.h"

namespace vch {
namespace {

using common::Error;
using common::Result;
using common::Status;

constexpr size_t kBufferSize = 256 * 1024;

}  // namespace

void ArchiveFree::operator()(archive* a) const { archive_read_free(a); }

Result<std::unique_ptr<LayerStream>> LayerStream::open(const Layer& layer,
                                                       std::function<void(uint64_t)> on_read) {
  std::unique_ptr<LayerStream> stream(new LayerStream(layer, std::move(on_read)));
  stream->buffer_.resize(kBufferSize);
  stream->decompressor_.reset(archive_read_new());
  archive* a = stream->decompressor_.get();
  if (a == nullptr) return common::make_error(ENOMEM, "read", layer.label);
  archive_read_support_filter_gzip(a);
  archive_read_support_filter_zstd(a);
  archive_read_support_format_raw(a);
  archive_read_support_format_empty(a);
  const auto read = [](archive* self, void* data, const void** out) -> la_ssize_t {
    auto* owner = static_cast<LayerStream*>(data);
    const auto bytes = owner->read_stored();
    if (bytes.has_error()) {
      archive_set_error(self, EIO, "%s", "read failed");
      return -1;
    }
    *out = bytes->data();
    return static_cast<la_ssize_t>(bytes->size());
  };
  archive_entry* entry = nullptr;
  const int opened = archive_read_open(a, stream.get(), nullptr, read, nullptr);
  const int header = opened == ARCHIVE_OK ? archive_read_next_header(a, &entry) : opened;
  stream->ended_ = header == ARCHIVE_EOF;
  if (header != ARCHIVE_OK && header != ARCHIVE_EOF) return stream->explain(stream->failure());
  return stream;
}

Result<std::string_view> LayerStream::read_stored() {
  const size_t want = std::min<uint64_t>(buffer_.size(), layer_.size - read_);
  while (want > 0) {
    const ssize_t n =
        ::pread(layer_.fd->get(), buffer_.data(), want, static_cast<off_t>(layer_.offset + read_));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) read_status_ = common::errno_error("read", layer_.label);
    if (n == 0) {
      read_status_ =
          image_error(layer_.label, "is truncated: " + std::to_string(read_) + " of " +
                                        std::to_string(layer_.size) + " bytes are there");
    }
    if (n <= 0) return read_status_.error();
    const std::string_view bytes(buffer_.data(), static_cast<size_t>(n));
    read_ += bytes.size();
    stored_hash_.update(bytes);
    if (on_read_) on_read_(bytes.size());
    return bytes;
  }
  return std::string_view();
}

Result<std::string_view> LayerStream::next() {
  const void* data = nullptr;
  size_t size = 0;
  la_int64_t offset = 0;
  do {
    if (ended_) return std::string_view();
    const int result = archive_read_data_block(decompressor_.get(), &data, &size, &offset);
    ended_ = result == ARCHIVE_EOF;
    if (result != ARCHIVE_OK && !ended_) return explain(failure());
  } while (size == 0);
  const std::string_view bytes(static_cast<const char*>(data), size);
  plain_hash_.update(bytes);
  return bytes;
}

Status LayerStream::verify() {
  for (;;) {
    ASSIGN_OR_RETURN(const std::string_view bytes, next());
    if (bytes.empty()) break;
  }
  RETURN_IF_ERROR(check_stored());
  const std::string found = plain_hash_.finish();
  if (layer_.diff_id.empty() || found == layer_.diff_id) return {};
  return image_error(layer_.label, "digest mismatch: decompressed it is " + found +
                                       ", the configuration says " + layer_.diff_id);
}

Status LayerStream::check_stored() {
  // Bytes behind the end of the compressed stream count too.
  for (;;) {
    ASSIGN_OR_RETURN(const std::string_view bytes, read_stored());
    if (bytes.empty()) break;
  }
  const std::string found = stored_hash_.finish();
  if (layer_.digest.empty() || found == layer_.digest) return {};
  return image_error(layer_.label, "digest mismatch: its content is " + found);
}

Error LayerStream::explain(Error error) {
  if (read_status_.has_error()) return read_status_.error();
  const Status stored = check_stored();
  return stored.has_error() ? stored.error() : std::move(error);
}

Error LayerStream::failure() const {
  const char* text = archive_error_string(decompressor_.get());
  return image_error(layer_.label, "cannot be decompressed: " +
                                       std::string(text != nullptr ? text : "malformed stream"));
}

}  // namespace vch
