// Both directions of the agent's state by one list of fields: what is saved is what is loaded.
#pragma once

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "common/result.h"
#include "common/unique_fd.h"

namespace tether {

class Carry {
 public:
  // kCheck: as kLoad, but by a process that has none of the descriptors: every one stays empty.
  enum class Way : uint8_t { kSave, kCheck, kLoad };
  explicit Carry(Way way) : way_(way) {}

  bool saving() const { return way_ == Way::kSave; }
  bool loading() const { return way_ == Way::kLoad; }
  // The descriptors that were saved or loaded.
  const std::vector<int>& descriptors() const { return descriptors_; }
  // The first thing that makes no sense; it is named and the rest is loaded no further.
  common::Status status() const { return status_; }
  void refuse(const char* field, std::string why) {
    if (status_.has_value()) {
      status_ = common::make_error(EBADMSG, "load", std::string("state field ") + field, why);
    }
  }

  // What stands for a field in the message.
  template <typename T>
  requires std::is_arithmetic_v<T> T out(T value) { return value; }
  template <typename T>
  requires std::is_enum_v<T> uint32_t out(T value) { return static_cast<uint32_t>(value); }
  uint32_t out(const common::UniqueFd& fd) {
    if (!fd) return 0;
    descriptors_.push_back(fd.get());
    return static_cast<uint32_t>(fd.get()) + 1;
  }
  std::string out(const std::array<uint64_t, 2>& id) {
    return {reinterpret_cast<const char*>(id.data()), sizeof id};
  }
  const std::string& out(const std::string& text) { return text; }
  template <size_t N>
  std::string out(const std::array<char, N>& text) {
    return {text.data(), ::strnlen(text.data(), N)};
  }

  // The field again. `name` is for what is said of a value that makes no sense.
  template <typename T, typename V>
  requires(std::is_arithmetic_v<T> || std::is_enum_v<T>) void in(const char* /*name*/, V value,
                                                                 T& field) {
    field = static_cast<T>(value);
  }
  void in(const char* name, uint32_t number, common::UniqueFd& field) {
    if (!loading() || number == 0) return;
    const int fd = static_cast<int>(number - 1);
    if (::fcntl(fd, F_GETFD) < 0 ||
        std::find(descriptors_.begin(), descriptors_.end(), fd) != descriptors_.end()) {
      return refuse(name, "descriptor " + std::to_string(fd) + " is not there, or twice");
    }
    descriptors_.push_back(fd);
    field.reset(fd);
  }
  void in(const char* name, const std::string& bytes, std::array<uint64_t, 2>& field) {
    if (bytes.size() != sizeof field) return refuse(name, "want an id of 16 bytes");
    ::memcpy(field.data(), bytes.data(), sizeof field);
  }
  void in(const char* /*name*/, const std::string& bytes, std::string& field) { field = bytes; }
  // Always with a NUL behind.
  template <size_t N>
  void in(const char* name, const std::string& bytes, std::array<char, N>& field) {
    if (bytes.size() >= N)
      return refuse(name, std::to_string(bytes.size()) + " bytes are too many");
    field.fill(0);
    bytes.copy(field.data(), bytes.size());
  }

  // A repeated field of plain values and an array of as many. An array that has become larger since
  // keeps what it has beyond.
  template <typename Repeated, typename T, size_t N>
  void each(const char* name, Repeated& repeated, std::array<T, N>& fields) {
    if (saving()) {
      for (const T& field : fields) repeated.Add(out(field));
      return;
    }
    if (static_cast<size_t>(repeated.size()) > N) return refuse(name, "more than there are places");
    for (int i = 0; i < repeated.size(); ++i) {
      in(name, repeated.Get(i), fields[static_cast<size_t>(i)]);
    }
  }
  // The same of messages, each by `one(message, field)`.
  template <typename Repeated, typename T, size_t N, typename One>
  void rows(const char* name, Repeated& repeated, std::array<T, N>& fields, One&& one) {
    if (!saving() && static_cast<size_t>(repeated.size()) > N) {
      return refuse(name, "more than there are places");
    }
    const size_t count = saving() ? N : static_cast<size_t>(repeated.size());
    for (size_t i = 0; i < count; ++i) {
      one(saving() ? *repeated.Add() : *repeated.Mutable(static_cast<int>(i)), fields[i]);
    }
  }

 private:
  Way way_;
  std::vector<int> descriptors_;
  common::Status status_;
};

}  // namespace tether

// One line for each field: `carry` and `message` are the names around it.
#define TETHER_CARRY(name, field)               \
  do {                                          \
    if (carry.saving()) {                       \
      message.set_##name(carry.out(field));     \
    } else {                                    \
      carry.in(#name, message.name(), (field)); \
    }                                           \
  } while (false)
