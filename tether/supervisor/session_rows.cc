#include "tether/supervisor/session_rows.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace tether {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kRowSize = (sizeof(Session) + kPage - 1) / kPage * kPage;

}  // namespace

SessionRows::~SessionRows() {
  while (size_ > 0) release(*live_[size_ - 1]);
  if (memory_ != nullptr) ::munmap(memory_, kCapacity * kRowSize);
}

common::Status SessionRows::open() {
  // Not counted as used before it is: most rows never are.
  void* memory = ::mmap(nullptr, kCapacity * kRowSize, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return common::errno_error("reserve", "session table");
  memory_ = static_cast<char*>(memory);
  for (size_t i = 0; i < kCapacity; ++i) free_rows_[i] = static_cast<uint16_t>(kCapacity - 1 - i);
  return {};
}

Session* SessionRows::add(Session::Kind kind) {
  if (memory_ == nullptr || size_ == kCapacity) return nullptr;
  const size_t row = free_rows_[kCapacity - 1 - size_];
  // Without parentheses: those would clear all of it first, 65 pages of stdin's queue.
  auto* session = ::new (memory_ + row * kRowSize) Session;
  while (next_id_ == 0 || slots_[next_id_ % kSlots] != nullptr) ++next_id_;
  session->id = next_id_++;
  session->kind = kind;
  slots_[session->id % kSlots] = session;
  live_[size_++] = session;
  return session;
}

void SessionRows::release(Session& session) {
  const auto place = std::find(live_.begin(), live_.begin() + size_, &session);
  slots_[session.id % kSlots] = nullptr;
  char* row = reinterpret_cast<char*>(&session);
  session.~Session();
  ::madvise(row, kRowSize, MADV_DONTNEED);
  *place = live_[--size_];
  free_rows_[kCapacity - 1 - size_] = static_cast<uint16_t>((row - memory_) / kRowSize);
}

Session* SessionRows::find(uint32_t id) const {
  Session* session = slots_[id % kSlots];
  return session != nullptr && session->id == id ? session : nullptr;
}

Session* SessionRows::find_request(const RequestId& request) const {
  if (request == kNoRequest) return nullptr;
  for (Session& session : *this) {
    if (session.request == request) return &session;
  }
  return nullptr;
}

Session* SessionRows::find_process(pid_t pid) const {
  for (Session& session : *this) {
    if (session.launcher == pid || (session.pid == pid && !session.reaped)) return &session;
  }
  return nullptr;
}

size_t SessionRows::count(Session::Kind kind) const {
  size_t found = 0;
  for (const Session& session : *this) found += session.kind == kind ? 1 : 0;
  return found;
}

}  // namespace tether
