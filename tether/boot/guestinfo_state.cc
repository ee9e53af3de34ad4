#include "tether/boot/guestinfo_state.h"

#include <string.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "protocol/stage.h"

namespace tether {
namespace {

using protocol::EventKind;

constexpr std::string_view kLost = "lost ";

template <size_t N>
std::string_view text_of(const std::array<char, N>& bytes) {
  return {bytes.data(), ::strnlen(bytes.data(), N)};
}

template <size_t N>
void copy_text(std::array<char, N>& to, std::string_view from) {
  to.fill('\0');
  from.copy(to.data(), N - 1);
}

// Without the word, if it is there; by blanks.
void remove_word(std::array<char, 488>& list, std::string_view word) {
  std::array<char, 488> left{};
  size_t size = 0;
  std::string_view rest = text_of(list);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(' '), rest.size());
    const std::string_view one = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (one.empty() || one == word) continue;
    if (size != 0) left[size++] = ' ';
    size += one.copy(left.data() + size, one.size());
  }
  list = left;
}

bool of_primary(const protocol::JournalRecord& record) {
  return record.session == 0 || record.session == protocol::kPrimarySession;
}

}  // namespace

GuestinfoState::GuestinfoState() {
  for (size_t i = 0; i < kPlain; ++i) rows_[i].record.key = static_cast<GuestinfoKey>(i + 1);
  set(GuestinfoKey::kState, "starting");
}

void GuestinfoState::set(GuestinfoKey key, std::string_view value) {
  Row& row = rows_[static_cast<size_t>(key) - 1];
  copy_text(row.record.value, value);
  row.due = true;
}

// By the calendar alone: the C library would look for a time zone in files.
void GuestinfoState::set_time(GuestinfoKey key, uint64_t wall_ns) {
  using std::chrono::days, std::chrono::seconds, std::chrono::sys_time;
  constexpr uint64_t kSecond = 1000000000;
  const sys_time<seconds> now{seconds(wall_ns / kSecond)};
  const auto day = std::chrono::floor<days>(now);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(now - day);
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02dZ",
                static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()), static_cast<int>(time.hours().count()),
                static_cast<int>(time.minutes().count()), static_cast<int>(time.seconds().count()));
  set(key, text_of(text));
}

void GuestinfoState::set_number(GuestinfoKey key, uint64_t value) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "%llu", static_cast<unsigned long long>(value));
  set(key, text_of(text));
}

void GuestinfoState::note(const protocol::JournalRecord& record, uint64_t wall_ns) {
  switch (record.kind) {
    case EventKind::kSessionStarted:
      if (!of_primary(record)) return;
      set(GuestinfoKey::kState, "running");
      return set_time(GuestinfoKey::kStarted, wall_ns);
    case EventKind::kSessionExited:
      if (!of_primary(record)) return;
      set(GuestinfoKey::kState, "exited");
      set_number(GuestinfoKey::kExitCode, record.value);
      return set_time(GuestinfoKey::kStopped, wall_ns);
    case EventKind::kRestarting:
      set(GuestinfoKey::kState, "restarting");
      return set_number(GuestinfoKey::kRestarts, record.value);
    case EventKind::kFailure:
      if (!of_primary(record)) return;
      note_failure(record);
      return set_time(GuestinfoKey::kStopped, wall_ns);
    case EventKind::kAddress:
      return note_address(record.payload);
    default:
      return;
  }
}

void GuestinfoState::note_failure(const protocol::JournalRecord& record) {
  const auto stage = protocol::stage_name(static_cast<protocol::Stage>(record.stage));
  const char* why = ::strerrordesc_np(static_cast<int>(record.value));
  const bool no_errno = record.value == 0;
  std::array<char, 488> text{};
  std::snprintf(text.data(), text.size(), "%.*s %.*s%s%s", static_cast<int>(stage.size()),
                stage.data(), static_cast<int>(std::min<size_t>(record.payload.size(), 400)),
                record.payload.data(), no_errno ? "" : ": ",
                no_errno         ? ""
                : why == nullptr ? "failed"
                                 : why);
  set(GuestinfoKey::kState, "failed");
  set(GuestinfoKey::kError, text_of(text));
  set_number(GuestinfoKey::kExitCode, record.extra);
}

// "eth0 10.1.2.3/24", "eth0 lost 10.1.2.3/24".
void GuestinfoState::note_address(std::string_view text) {
  const size_t space = text.find(' ');
  if (space == std::string_view::npos) return;
  Row* row = interface(text.substr(0, space));
  if (row == nullptr) return;
  std::string_view address = text.substr(space + 1);
  const bool lost = address.starts_with(kLost);
  if (lost) address.remove_prefix(kLost.size());
  auto& list = row->record.value;
  remove_word(list, address);  // One that comes again stands once.
  const size_t size = text_of(list).size();
  if (!lost && size + 1 + address.size() < list.size()) {
    if (size != 0) list[size] = ' ';
    address.copy(&list[size + (size != 0 ? 1 : 0)], address.size());
  }
  row->due = true;
}

GuestinfoState::Row* GuestinfoState::interface(std::string_view name) {
  for (size_t i = kPlain; i < rows_.size(); ++i) {
    GuestinfoRecord& record = rows_[i].record;
    if (record.key == GuestinfoKey{}) {
      record.key = GuestinfoKey::kAddress;
      copy_text(record.name, name);
    }
    if (text_of(record.name) == name.substr(0, record.name.size() - 1)) return &rows_[i];
  }
  return nullptr;
}

const GuestinfoRecord* GuestinfoState::next() const {
  for (const Row& row : rows_) {
    if (row.due) return &row.record;
  }
  return nullptr;
}

void GuestinfoState::sent() {
  for (Row& row : rows_) {
    if (std::exchange(row.due, false)) return;
  }
}

}  // namespace tether
