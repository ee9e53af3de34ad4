#include "serial-transport/reorder.h"

#include <algorithm>

namespace serial_transport::detail {

bool Reorder::is_next(const FrameHeader& header, std::span<const std::byte> payload) {
  const uint32_t ahead = header.sequence - expected_;
  if (ahead == 0) return true;
  // Beyond that it is a repetition, or more than a peer may have under way.
  if (ahead < kFrames && (bitmap_ >> (ahead - 1) & 1U) == 0) park(ahead, header, payload);
  return false;
}

void Reorder::park(uint32_t ahead, const FrameHeader& header, std::span<const std::byte> payload) {
  Parked& place = parked_[header.sequence % kFrames];
  if (payload.size() > place.payload.capacity()) {
    held_ -= place.payload.capacity();
    std::vector<std::byte>().swap(place.payload);
    // On a line that loses frames every place soon has what it will ever need.
    const size_t capacity = std::max(payload.size(), kMaxCheckedPayload);
    if (!make_room(capacity)) return;
    place.payload.reserve(capacity);
    held_ += place.payload.capacity();
  }
  place.header = header;
  place.payload.assign(payload.begin(), payload.end());
  bitmap_ |= uint64_t{1} << (ahead - 1);
}

bool Reorder::make_room(size_t more) {
  if (held_ + more <= kMostBytes) return true;
  for (uint32_t ahead = 0; ahead < kFrames; ++ahead) {
    if (ahead > 0 && (bitmap_ >> (ahead - 1) & 1U) != 0) continue;
    std::vector<std::byte>& idle = parked_[(expected_ + ahead) % kFrames].payload;
    held_ -= idle.capacity();
    std::vector<std::byte>().swap(idle);
  }
  return held_ + more <= kMostBytes;
}

const Reorder::Parked* Reorder::advance() {
  ++expected_;
  const bool here = (bitmap_ & 1U) != 0;
  bitmap_ >>= 1U;
  return here ? &parked_[expected_ % kFrames] : nullptr;
}

void Reorder::save(StateWriter& out) const {
  out.put(expected_);
  out.put(bitmap_);
  for (uint32_t ahead = 1; ahead < kFrames; ++ahead) {
    if ((bitmap_ >> (ahead - 1) & 1U) == 0) continue;
    const Parked& parked = parked_[(expected_ + ahead) % kFrames];
    out.put(parked.header.type);
    out.put(parked.header.connection);
    out.put_bytes(parked.payload);
  }
}

// The peer believes them to be here: one for which there were no room would be lost for ever.
bool Reorder::load(StateReader& in) {
  expected_ = in.get<uint32_t>();
  const auto bitmap = in.get<uint64_t>();
  for (uint32_t ahead = 1; ahead < kFrames; ++ahead) {
    if ((bitmap >> (ahead - 1) & 1U) == 0) continue;
    FrameHeader header;
    header.type = static_cast<FrameType>(in.get<uint8_t>());
    header.connection = in.get<uint16_t>();
    header.sequence = expected_ + ahead;
    const auto payload = in.get_bytes();
    if (!in.ok() || payload.size() > kMaxPayload || is_next(header, payload)) return false;
  }
  return in.ok() && bitmap_ == bitmap;
}

void Reorder::clear() {
  expected_ = 1;
  bitmap_ = 0;
}

}  // namespace serial_transport::detail
