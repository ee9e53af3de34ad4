#include "vch/interaction/journal_rest.h"

#include <algorithm>

#include "vch/machine/container_journal.h"

namespace vch {
namespace {

using common::Status;
using Output = StdioClient::Output;
using What = JournalOutputReader::Piece::What;
using namespace std::chrono_literals;

constexpr int kLookAgainMs = 10;
// The agent forgets a byte when QEMU's port has it; writing it to the file takes a moment.
constexpr auto kPatience = 5s;

}  // namespace

uint64_t JournalRest::missing_records() const {
  uint64_t most = 0;
  for (const auto& reader : readers_) most = std::max(most, reader ? reader->missing_records() : 0);
  return most;
}

Status JournalRest::advance(StdioClient& client, bool machine_gone) {
  timeout_ms_ = -1;
  for (size_t stream = 0; stream < 2; ++stream) {
    RETURN_IF_ERROR(advance_stream(client, stream, machine_gone));
  }
  return {};
}

Status JournalRest::advance_stream(StdioClient& client, size_t stream, bool machine_gone) {
  const auto output = static_cast<Output>(stream);
  const auto missing = client.missing_until(output);
  wants_room_[stream] = false;
  const bool to_the_end = machine_gone && !client.exit();
  if (!missing && !to_the_end) return {};
  if (finished_[stream]) return {};
  // Where a client begins that never was attached, the agent alone could have told.
  if (!primary_ || !client.knows_its_place()) {
    if (missing) client.give_up(output, *missing);
    finished_[stream] = to_the_end;
    return {};
  }
  if (!readers_[stream]) {
    ASSIGN_OR_RETURN(const auto options, journal_of_life(container_));
    ASSIGN_OR_RETURN(readers_[stream],
                     JournalOutputReader::open(container_.directory, options,
                                               static_cast<uint32_t>(stream) + 1));
  }
  JournalOutputReader& reader = *readers_[stream];
  if (machine_gone) reader.close();
  const uint64_t until = missing.value_or(~uint64_t{0});
  for (uint64_t at = client.received(output); at < until; at = client.received(output)) {
    const size_t room = client.output_room(output);
    wants_room_[stream] = room == 0;
    if (room == 0) return {};
    ASSIGN_OR_RETURN(const auto piece, reader.read(at));
    if (piece.what == What::kBytes) {
      const size_t wanted = std::min<uint64_t>(room, until - at);
      client.fill(output, piece.bytes.substr(0, wanted));
      give_up_at_[stream].reset();
    } else if (piece.what == What::kMissing) {
      client.give_up(output, std::min(piece.offset, until));
    } else if (piece.what == What::kContinue) {
      call_again(0);
      return {};
    } else if (machine_gone) {
      if (missing) client.give_up(output, until);
      finished_[stream] = to_the_end;
      return {};
    } else {
      if (reader.empty()) {
        client.give_up(output, until);
      } else {
        be_patient(client, stream, until);
      }
      return {};
    }
  }
  return {};
}

void JournalRest::be_patient(StdioClient& client, size_t stream, uint64_t until) {
  const auto now = Clock::now();
  if (!give_up_at_[stream]) give_up_at_[stream] = now + kPatience;
  if (now < *give_up_at_[stream]) return call_again(kLookAgainMs);
  give_up_at_[stream].reset();
  client.give_up(static_cast<Output>(stream), until);
}

}  // namespace vch
