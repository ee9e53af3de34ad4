// The keys that leave a session and let it run: what is typed passes through, but for them.
#pragma once

#include <string>
#include <string_view>

#include "common/result.h"

namespace vch {

class DetachKeys {
 public:
  DetachKeys() = default;  // ctrl-p,ctrl-q
  // Docker's syntax: keys with commas between them, each one character, "DEL", or ctrl- with a-z or
  // one of @ [ \ ] ^ _. Empty: the default. EINVAL names the key.
  static common::Result<DetachKeys> parse(const std::string& text);

  // Appends to `through` what is for the session. A beginning of the sequence is held until the key
  // that goes on or does not. True once the sequence is complete: what was typed behind it is lost.
  bool feed(std::string_view typed, std::string& through);

 private:
  std::string sequence_ = "\x10\x11";
  size_t matched_ = 0;
};

}  // namespace vch
