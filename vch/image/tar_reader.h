// The members of one layer's tar archive.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/result.h"
#include "vch/image/file_tree.h"
#include "vch/image/layer_stream.h"

struct archive_entry;

namespace vch {

// Numbers come from the archive alone, never from the host's user names. Errors begin with the
// layer's label and name the member.
class TarReader {
 public:
  static common::Result<std::unique_ptr<TarReader>> open(
      const Layer& layer, std::function<void(uint64_t)> on_read = {});
  TarReader(const TarReader&) = delete;
  TarReader& operator=(const TarReader&) = delete;

  // False at the end. Refuses what cannot be told exactly: NUL in a name, malformed headers,
  // numbers out of range.
  common::Result<bool> next(Member& member);
  // The current member's content in order, holes as zeros; all of `size` bytes.
  common::Status read_content(const std::function<common::Status(std::string_view)>& sink);
  // LayerStream::verify, once all members are read.
  common::Status verify() { return stream_->verify(); }
  // LayerStream::explain.
  common::Error explain(common::Error error) { return stream_->explain(std::move(error)); }

 private:
  explicit TarReader(std::string label) : label_(std::move(label)) {}
  common::Result<std::string_view> feed();
  void forget_members();
  common::Status take_entry(archive_entry* entry, Member& member);
  common::Status check_headers();
  common::Error failure();
  common::Error refuse(std::string what) const;

  const std::string label_;
  std::unique_ptr<LayerStream> stream_;
  common::Status stream_status_;
  // A copy of what libarchive was given last, from `recent_start_` in the stream: since the start
  // of the header while it reads one, else one block. It cuts names at a NUL without a word, so
  // headers are looked at here as well.
  std::string recent_;
  uint64_t recent_start_ = 0;
  bool in_header_ = true;
  std::string current_;  // the member's path
  uint64_t size_ = 0;
  Archive tar_;
};

}  // namespace vch
