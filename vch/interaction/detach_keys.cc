#include "vch/interaction/detach_keys.h"

#include <optional>

namespace vch {
namespace {

constexpr char kDelete = 127;
constexpr unsigned kControlBits = 0x1f;

std::optional<char> key_of(std::string_view name) {
  if (name.size() == 1) return name.front();
  if (name == "DEL") return kDelete;
  constexpr std::string_view kControl = "ctrl-";
  if (name.size() != kControl.size() + 1 || !name.starts_with(kControl)) return std::nullopt;
  const char key = name.back();
  const bool known =
      (key >= 'a' && key <= 'z') || std::string_view("@[\\]^_").find(key) != std::string_view::npos;
  if (!known) return std::nullopt;
  return static_cast<char>(static_cast<unsigned char>(key) & kControlBits);
}

}  // namespace

common::Result<DetachKeys> DetachKeys::parse(const std::string& text) {
  DetachKeys keys;
  if (text.empty()) return keys;
  keys.sequence_.clear();
  for (size_t start = 0; start <= text.size();) {
    const size_t comma = std::min(text.find(',', start), text.size());
    const std::string name = text.substr(start, comma - start);
    const auto key = key_of(name);
    if (!key) {
      return common::make_error(
          EINVAL, "--detach-keys", "'" + text + "'",
          "no key '" + name + "'; want characters or ctrl-a to ctrl-z, with commas between them");
    }
    keys.sequence_ += *key;
    start = comma + 1;
  }
  return keys;
}

bool DetachKeys::feed(std::string_view typed, std::string& through) {
  for (const char key : typed) {
    while (matched_ > 0 && sequence_[matched_] != key) {
      // The longest beginning of the sequence that also ends what is held stays held.
      size_t kept = matched_ - 1;
      while (sequence_.compare(0, kept, sequence_, matched_ - kept, kept) != 0) --kept;
      through.append(sequence_, 0, matched_ - kept);
      matched_ = kept;
    }
    if (sequence_[matched_] != key) {
      through += key;
    } else if (++matched_ == sequence_.size()) {
      matched_ = 0;
      return true;
    }
  }
  return false;
}

}  // namespace vch
