// What of the supervisor's small tables and state machines outlives the program of PID 1.
#include "tether/upgrade/state_fields.h"

namespace tether {

// Whoever adds a field to one of these carries it below, or says why not, and then corrects this.
static_assert(sizeof(JournalWriter) == 163904);
static_assert(sizeof(EventLog) == 19464);
static_assert(sizeof(RecentRequests) == 4104);
static_assert(sizeof(HealthMonitor) == 72);
static_assert(sizeof(Restarts) == 24);
static_assert(sizeof(GuestinfoState) == 11352);

void StateFields::carry_journal(Carry& carry, ::tether::v1::agent::JournalState& message,
                                JournalWriter& it) {
  TETHER_CARRY(port, it.port_);
  TETHER_CARRY(secret, it.secret_);
  TETHER_CARRY(waiting_since_ms, it.waiting_since_ms_);
  TETHER_CARRY(next_number, it.next_number_);
  TETHER_CARRY(last_wall_ns, it.last_wall_ns_);
  TETHER_CARRY(lost, it.lost_);
  if (carry.saving()) {
    message.set_pending(it.pending_.data() + it.begin_, it.end_ - it.begin_);
    return;
  }
  if (message.pending().size() > it.pending_.size()) {
    return carry.refuse("journal.pending", "more than it can hold");
  }
  it.begin_ = 0;
  it.end_ = message.pending().copy(it.pending_.data(), it.pending_.size());
}

void StateFields::carry_events(Carry& carry, All& message, EventLog& it) {
  if (carry.saving()) {
    it.tell_all([&message](const LinkHeader& header, std::string_view text) {
      auto& row = *message.add_events();
      row.set_kind_and_stage(header.stream);
      row.set_session(header.session);
      row.set_value(header.value);
      row.set_number(header.offset);
      row.set_wall_ns(header.writer[0]);
      row.set_extra(header.writer[1]);
      row.set_text(std::string(text));
    });
    return;
  }
  for (const auto& row : message.events()) {
    LinkHeader header;
    header.type = LinkType::kEvent;
    header.stream = row.kind_and_stage();
    header.session = row.session();
    header.value = row.value();
    header.offset = row.number();
    header.writer = {row.wall_ns(), row.extra()};
    it.add(header, row.text());
  }
}

void StateFields::carry_requests(Carry& carry, All& message, RecentRequests& it) {
  TETHER_CARRY(next_request, it.next_);
  if (carry.saving()) {
    for (const RequestId& id : it.ids_) message.add_requests(carry.out(id));
    return;
  }
  if (static_cast<size_t>(message.requests_size()) != it.ids_.size()) {
    return carry.refuse("requests", "another number of them");
  }
  for (int i = 0; i < message.requests_size(); ++i) {
    carry.in("requests", message.requests(i), it.ids_[static_cast<size_t>(i)]);
  }
}

void StateFields::carry_health(Carry& carry, ::tether::v1::agent::HealthState& message,
                               HealthMonitor& it) {
  TETHER_CARRY(interval_ms, it.policy_.interval_ms);
  TETHER_CARRY(timeout_ms, it.policy_.timeout_ms);
  TETHER_CARRY(start_period_ms, it.policy_.start_period_ms);
  TETHER_CARRY(retries, it.policy_.retries);
  TETHER_CARRY(started_ms, it.started_ms_);
  TETHER_CARRY(next_probe_ms, it.next_probe_ms_);
  TETHER_CARRY(probe_deadline_ms, it.probe_deadline_ms_);
  TETHER_CARRY(probing, it.probing_);
  TETHER_CARRY(killed, it.killed_);
  TETHER_CARRY(failures, it.failures_);
  TETHER_CARRY(health, it.health_);
}

void StateFields::carry_restarts(Carry& carry, ::tether::v1::agent::RestartsState& message,
                                 Restarts& it) {
  TETHER_CARRY(kind, it.kind_);
  TETHER_CARRY(max_retries, it.max_retries_);
  TETHER_CARRY(cancelled, it.cancelled_);
  TETHER_CARRY(count, it.count_);
  TETHER_CARRY(delay_ms, it.delay_ms_);
}

void StateFields::carry_guestinfo(Carry& carry, ::tether::v1::agent::NetworkState& all,
                                  GuestinfoState& it) {
  carry.rows("guestinfo_rows", *all.mutable_guestinfo_rows(), it.rows_,
             [&carry](auto& message, GuestinfoState::Row& row) {
               TETHER_CARRY(key, row.record.key);
               TETHER_CARRY(name, row.record.name);
               TETHER_CARRY(value, row.record.value);
               TETHER_CARRY(due, row.due);
             });
}

}  // namespace tether
