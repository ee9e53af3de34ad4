// A link process that is replaced though nothing is wrong with it leaves its successor what that
// needs to go on with the SSH logins. What it leaves passes through here unread.
#include <signal.h>

#include <algorithm>
#include <utility>

#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

constexpr uint64_t kHandOverMs = 4000;  // it goes on meanwhile: nobody waits but another upgrade

}  // namespace

void Supervisor::ask_to_hand_over() {
  if (link_pid_ <= 0) return;
  drop_pieces();
  LinkHeader header;
  header.type = LinkType::kHandOver;
  tell(header);
  hand_over_.deadline_ms = system_.now_ms() + kHandOverMs;
}

// Of one that was not asked for it nothing is taken.
void Supervisor::on_piece(const LinkHeader& header, common::UniqueFd fd) {
  if (hand_over_.deadline_ms == 0 || hand_over_.whole || !fd) return;
  if (hand_over_.count == hand_over_.pieces.size()) return;
  hand_over_.pieces[hand_over_.count++] = {header.value, header.offset, std::move(fd)};
}

void Supervisor::on_handed_over() {
  if (hand_over_.deadline_ms == 0) return;
  hand_over_.whole = true;
  hand_over_.deadline_ms = 0;
  if (link_pid_ > 0) system_.signal(link_pid_, SIGKILL);
}

// An older program does not know what it was asked for.
void Supervisor::on_hand_over_deadline(uint64_t now) {
  if (hand_over_.deadline_ms == 0 || now < hand_over_.deadline_ms) return;
  hand_over_.deadline_ms = 0;
  if (link_pid_ > 0) system_.signal(link_pid_, SIGKILL);
}

// Before it is told anything else, and before it can have begun to speak with the host. They are
// given once: should this successor die, its own finds nothing, as after any other death.
void Supervisor::pass_on_pieces() {
  for (size_t i = 0; i < hand_over_.count && hand_over_.whole; ++i) {
    const auto& piece = hand_over_.pieces[i];
    LinkHeader header;
    header.type = LinkType::kTakeOver;
    header.value = piece.value;
    header.offset = piece.offset;
    const int fd = piece.fd.get();
    tell(header, {}, std::span(&fd, 1));
  }
  drop_pieces();
}

void Supervisor::drop_pieces() {
  for (auto& piece : hand_over_.pieces) piece = {};
  hand_over_.count = 0;
  hand_over_.deadline_ms = 0;
  hand_over_.whole = false;
}

}  // namespace tether
