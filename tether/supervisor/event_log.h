// The newest events, kept for link processes to come: what happened before the first one ran, or
// between two, is told to the next. Bounded, without allocation.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "tether/supervisor/link_messages.h"

namespace tether {

class EventLog {
 public:
  // All of them fit into the link's socket at once: nobody reads while they are told.
  static constexpr size_t kRows = 64;
  static constexpr size_t kMaxText = 256;

  // Takes the message as it is told; text beyond kMaxText is left out.
  void add(const LinkHeader& header, std::string_view text) {
    Row& row = rows_[count_++ % kRows];
    row.header = header;
    row.size = text.copy(row.text.data(), kMaxText);
  }
  // The oldest first.
  template <typename Tell>
  void tell_all(Tell&& tell) const {
    for (uint64_t i = count_ > kRows ? count_ - kRows : 0; i < count_; ++i) {
      const Row& row = rows_[i % kRows];
      tell(row.header, std::string_view(row.text.data(), row.size));
    }
  }

 private:
  friend struct StateFields;  // tether/upgrade: what outlives the program
  struct Row {
    LinkHeader header;
    size_t size = 0;
    std::array<char, kMaxText> text;
  };
  std::array<Row, kRows> rows_{};
  uint64_t count_ = 0;
};

}  // namespace tether
