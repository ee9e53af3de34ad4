// Where output goes beside the clients: into the journal, and nowhere when there is no other way.
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "tether/supervisor/output_rules.h"
#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

using protocol::EventKind;

constexpr uint64_t kDropReportMs = 1000;
constexpr uint64_t kRetryMs = 1000;

}  // namespace

// Execs' output is their clients' alone, as Docker's logs know no exec.
bool Supervisor::goes_to_journal(const Session& session) const {
  return &session == primary_ && !session.discard && !boot_.config.journal().port().empty() &&
         journal_.fd() >= 0;
}

bool Supervisor::journal_has_all(const Session& session) const {
  if (!goes_to_journal(session) || !journal_.alive()) return false;
  return std::all_of(session.outputs.begin(), session.outputs.end(),
                     [](const Output& o) { return o.journaled >= o.ring.head(); });
}

// Its end is said when its output has been: bounded, since a journal that takes nothing is soon not
// alive any more.
bool Supervisor::end_waits_for_journal(const Session& session) {
  if (!goes_to_journal(session)) return false;
  pump_journal();
  return journal_.alive() && !journal_has_all(session);
}

void Supervisor::pump_journal() {
  if (primary_ == nullptr || !goes_to_journal(*primary_)) return;
  for (bool more = true; more;) {
    more = false;
    for (uint32_t stream = 0; stream < 2; ++stream) {
      Output& output = primary_->outputs[stream];
      // What was given up while the host took nothing is missing there as well.
      output.journaled = std::max(output.journaled, output.ring.tail());
      const auto bytes = output.ring.bytes(output.journaled, protocol::kJournalOutputPiece);
      const size_t size = bytes[0].size() + bytes[1].size();
      if (size == 0) continue;
      if (!journal_.write_output(primary_->id, stream + 1, output.journaled, bytes)) {
        return watch_journal();
      }
      output.journaled += size;
      more = true;
    }
  }
  watch_journal();
}

void Supervisor::watch_journal() {
  if (journal_.waiting() && !journal_.held() && epoll_) {
    watch(journal_.fd(), EPOLLOUT | EPOLLONESHOT, Source::kJournal);
  }
}

void Supervisor::on_journal() {
  journal_.flush();
  pump_journal();
  if (primary_ == nullptr) return;
  resume_blocked();
  after_end(*primary_);
}

void Supervisor::on_journal_deadlines(uint64_t now) {
  if (journal_retry_ms_ != 0 && now >= journal_retry_ms_) {
    journal_retry_ms_ = 0;
    on_journal();
  }
  if (room_deadline_ms_ != 0 && now >= room_deadline_ms_) {
    room_deadline_ms_ = 0;
    resume_blocked();
  }
  // A host that comes back need not say so.
  if (journal_.waiting() && journal_retry_ms_ == 0) {
    const uint64_t stall = journal_.stall_deadline_ms();
    journal_retry_ms_ = stall == ~uint64_t{0} ? now + kRetryMs : stall;
  }
}

uint64_t Supervisor::next_journal_deadline_ms() const {
  const auto or_never = [](uint64_t when) { return when == 0 ? ~uint64_t{0} : when; };
  return std::min(
      {or_never(journal_retry_ms_), or_never(room_deadline_ms_), journal_.stall_deadline_ms()});
}

// When a session counts as left by everybody; until then a client that lost its link may come back.
uint64_t Supervisor::abandoned_at_ms(const Session& session) const {
  const uint32_t wanted = boot_.config.drain_timeout_ms();
  const uint64_t patience = goes_to_journal(session) ? JournalWriter::kPatienceMs
                            : wanted == 0            ? 10000
                                                     : wanted;
  return std::max(session.unattended_ms, session.started_ms) + patience;
}

// The ring is full. False: the process has to wait.
bool Supervisor::find_room(Session& session, uint32_t stream) {
  Output& output = session.outputs[stream];
  const uint64_t now = system_.now_ms();
  OutputFacts facts;
  facts.tail = output.ring.tail();
  facts.head = output.ring.head();
  facts.journal = goes_to_journal(session) && journal_.alive();
  facts.journaled = output.journaled;
  facts.attached = session.attached != 0;
  facts.acked = output.acked;
  facts.abandoned = !facts.attached && now >= abandoned_at_ms(session);
  facts.drop = boot_.config.journal().output_policy() == protocol::pb::DROP;
  const OutputVerdict verdict = make_room_for(facts);
  switch (verdict.what) {
    case OutputVerdict::What::kWait:
      rings_blocked_ = true;
      // The journal's progress or its stall comes by itself, and so does a client's word.
      if (!facts.journal && !facts.attached) {
        const uint64_t when = abandoned_at_ms(session);
        room_deadline_ms_ = room_deadline_ms_ == 0 ? when : std::min(room_deadline_ms_, when);
      }
      return false;
    case OutputVerdict::What::kDrop:
      output.dropped += verdict.offset - facts.tail;
      free_output(output, verdict.offset);
      if (now >= output.drop_told_ms + kDropReportMs) report_dropped(session, stream);
      return true;
    case OutputVerdict::What::kFree:
      free_output(output, verdict.offset);
      return true;
  }
  return false;
}

void Supervisor::report_dropped(Session& session, uint32_t stream) {
  Output& output = session.outputs[stream];
  if (output.dropped == output.dropped_told) return;
  output.dropped_told = output.dropped;
  output.drop_told_ms = system_.now_ms();
  std::array<char, 24> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), output.dropped).ptr;
  protocol::JournalRecord record;
  record.kind = EventKind::kDropped;
  record.session = session.id;
  record.value = stream + 1;
  record.payload = {text.data(), static_cast<size_t>(end - text.data())};
  event(record);
}

// Something changed that may have made room: whoever waited for it looks again.
void Supervisor::resume_blocked() {
  if (!rings_blocked_) return;
  rings_blocked_ = false;
  for (Session& session : sessions_) {
    for (uint32_t stream = 0; stream < 2; ++stream) {
      Output& output = session.outputs[stream];
      if (!output.source || output.watched) continue;
      watch(output.source.get(), EPOLLIN, Source::kOutput, session.id, stream);
      output.watched = true;
      on_output(session, stream);
    }
  }
}

void Supervisor::set_attached(Session& session, uint32_t clients) {
  if (session.attached != 0 && clients == 0) session.unattended_ms = system_.now_ms();
  session.attached = clients;
}

// kFree and kDelivered. What the journal does not have yet stays, whoever else has it.
void Supervisor::on_delivered(Session& session, const LinkHeader& header) {
  if (header.stream < 1 || header.stream > 2) return;
  Output& output = session.outputs[header.stream - 1];
  const uint64_t head = output.ring.head();
  output.seen = true;
  output.delivered = std::max(output.delivered, std::min(header.writer[0], head));
  if (header.type == LinkType::kDelivered) return;
  if (linger_until_ms_ != 0) extend_linger();
  uint64_t below = std::min(header.offset, head);
  output.acked = std::max(output.acked, below);
  if (goes_to_journal(session) && journal_.alive()) below = std::min(below, output.journaled);
  if (below > output.ring.tail() && free_output(output, below)) resume_blocked();
}

}  // namespace tether
