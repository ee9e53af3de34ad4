#include "vch/machine/journal_past.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "common/io.h"
#include "vch/journal/journal_files.h"
#include "vch/journal/journal_stream.h"
#include "vch/machine/container_journal.h"

namespace vch {
namespace {

using common::Result;
using common::Status;
using protocol::EventKind;
using protocol::JournalRecord;

constexpr char kPast[] = "journal.past";
constexpr size_t kMaxPast = 1U << 20U;
constexpr size_t kMaxPayload = 8192;  // longer ones only tell of the container's own doing
constexpr size_t kMaxAddresses = 64;

Result<std::string> read_past(const Container& container) {
  auto bytes = common::read_file(container.file(kPast), kMaxPast);
  if (bytes.has_error() && bytes.error().code == std::errc::no_such_file_or_directory) {
    return std::string();
  }
  return bytes;
}

// The newest record of each kind that tells of the life as a whole.
class Digest {
 public:
  void hear(const JournalRecord& record) {
    if (record.kind == EventKind::kBoot) kept_.clear();
    const bool of_exec = record.session != 0 && record.session != protocol::kPrimarySession;
    if (of_exec || !matters(record.kind) || record.payload.size() > kMaxPayload) return;
    if (record.kind == EventKind::kAddress) {
      if (addresses() >= kMaxAddresses) return;
    } else {
      std::erase_if(kept_, [&](const auto& other) { return other.second.kind == record.kind; });
    }
    kept_[record.number] = {record.kind, encoded(record)};
  }

  std::string bytes() const {
    std::string all;
    for (const auto& [number, record] : kept_) all += record.bytes;
    return all;
  }

 private:
  struct Kept {
    EventKind kind{};
    std::string bytes;
  };

  static bool matters(EventKind kind) {
    switch (kind) {
      case EventKind::kOutput:
      case EventKind::kGap:
      case EventKind::kLimits:
      case EventKind::kTrouble:
      case EventKind::kSignal:
      case EventKind::kDropped:
      case EventKind::kLinkDied:
        return false;
      default:
        return true;
    }
  }
  size_t addresses() const {
    return static_cast<size_t>(std::count_if(kept_.begin(), kept_.end(), [](const auto& other) {
      return other.second.kind == EventKind::kAddress;
    }));
  }
  static std::string encoded(const JournalRecord& record) {
    std::string bytes(
        record.payload.size() + protocol::kJournalHeaderSize + protocol::kJournalCheckSize, '\0');
    bytes.resize(protocol::encode_record(record, bytes.data(), bytes.size()));
    return bytes;
  }

  std::map<uint64_t, Kept> kept_;  // by number
};

}  // namespace

Status hear_life(const Container& container, bool writer_lives,
                 const std::function<void(const JournalRecord&)>& hear) {
  // The journal is opened first: what is removed from now on can still be read.
  ASSIGN_OR_RETURN(auto options, journal_of_life(container));
  options.skip_output = true;
  ASSIGN_OR_RETURN(JournalStream records, JournalStream::open(container.directory, options));
  if (!writer_lives) records.close();
  ASSIGN_OR_RETURN(const std::string past, read_past(container));
  protocol::JournalReader reader(past);
  uint64_t newest = 0;
  while (const auto record = reader.next()) {
    newest = record->number;
    hear(*record);
  }
  for (;;) {
    ASSIGN_OR_RETURN(const auto entry, records.next());
    if (!entry) return {};
    // A machine that boots numbers anew.
    if (entry->record.kind == EventKind::kBoot && entry->record.number < newest) newest = 0;
    if (entry->record.number > newest) hear(entry->record);
  }
}

Status prune_journal(const Container& container, uint64_t keep) {
  ASSIGN_OR_RETURN(const auto files, list_journal_files(container.directory));
  if (files.size() <= keep) return {};
  Digest digest;
  RETURN_IF_ERROR(
      hear_life(container, true, [&digest](const JournalRecord& record) { digest.hear(record); }));
  RETURN_IF_ERROR(common::write_file_atomically(container.file(kPast), digest.bytes(), 0600));
  return prune_journal_files(container.directory, keep);
}

// With what killed shims left of it while they wrote.
Status forget_past(const Container& container) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(container.directory, error)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kPast)) continue;
    if (::unlink(entry.path().c_str()) != 0 && errno != ENOENT) {
      return common::errno_error("remove", entry.path());
    }
  }
  if (error) return common::Error{error, "list", container.directory, {}};
  return {};
}

}  // namespace vch
