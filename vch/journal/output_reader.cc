#include "vch/journal/output_reader.h"

namespace vch {
namespace {
constexpr uint64_t kReadAtOnce = uint64_t{4} << 20U;
}

using common::Result;
using protocol::EventKind;

Result<JournalOutputReader> JournalOutputReader::open(const std::string& directory,
                                                      const JournalStream::Options& options,
                                                      uint32_t stream) {
  ASSIGN_OR_RETURN(JournalStream records, JournalStream::open(directory, options));
  return JournalOutputReader(std::move(records), stream);
}

Result<JournalOutputReader::Piece> JournalOutputReader::read(uint64_t offset) {
  using What = Piece::What;
  const uint64_t begun = records_.bytes_read();
  while (!over_) {
    if (!held_.bytes.empty() && offset < held_.offset) {
      return Piece{What::kMissing, {}, held_.offset};
    }
    if (offset - held_.offset < held_.bytes.size()) {
      return Piece{What::kBytes, held_.bytes.substr(offset - held_.offset), offset};
    }
    held_ = {};
    if (records_.bytes_read() - begun > kReadAtOnce) return Piece{What::kContinue, {}, 0};
    ASSIGN_OR_RETURN(const auto entry, records_.next());
    if (!entry) return Piece{};
    over_ = entry->record.kind == EventKind::kBoot && !first_;
    first_ = false;
    if (!over_) missing_ += entry->missing;
    const auto output = protocol::decode_output(entry->record);
    if (output && output->stream == stream_) held_ = *output;
  }
  return Piece{};
}

}  // namespace vch
