#include "tether/link/link_process_driver.h"

#include <fcntl.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "protocol/journal.h"
#include "tether/link/link_state.h"
#include "tether/supervisor/clock.h"

namespace tether {
namespace asio = boost::asio;
using serial_transport::Connection;

namespace {

// What a secure link's line carries is kept short: a keystroke waits behind all of it.
serial_transport::EndpointOptions line_options(serial_transport::EndpointOptions line,
                                               bool secure) {
  constexpr uint32_t kAhead = 16 * 1024;
  if (secure) line.send_buffer = kAhead;
  return line;
}

}  // namespace

LinkState::LinkState(const asio::any_io_executor& executor, LinkProcess::Options options)
    : secure_(protocol::has_secure_link(options.config)),
      channel_(std::make_shared<SupervisorChannel>(executor, std::move(options.supervisor))),
      stdio_(sessions_, *channel_),
      control_(sessions_, *channel_, std::move(options.agent_version), std::move(options.config)),
      clock_(*channel_),
      ssh_(
          *channel_,
          [this](SshAsk asked, std::shared_ptr<LocalConnection> connection,
                 std::shared_ptr<LoginSessions> login) {
            serve_login(asked, std::move(connection), std::move(login));
          },
          [this](common::UniqueFd fd) { serve_link(std::move(fd)); }),
      endpoint_(executor, line_options(options.endpoint, secure_), std::move(options.openers)),
      timer_(executor) {
  if (secure_) inner_.emplace(executor, options.endpoint, [this] { return take_link(); });
}

void LinkState::start(std::function<void()> on_supervisor_gone) {
  const auto weak = weak_from_this();
  SupervisorChannel::Handlers handlers;
  handlers.on_message = [weak](const LinkHeader& header, std::string_view payload,
                               std::span<common::UniqueFd> fds) {
    if (const auto self = weak.lock()) self->on_message(header, payload, fds);
  };
  handlers.on_ready = [weak] {
    const auto self = weak.lock();
    if (!self) return;
    self->stdio_.on_port_ready(now_ms());
    self->control_.on_port_ready();
    self->ssh_.on_port_ready();
    self->arm();
  };
  handlers.on_closed = on_supervisor_gone;
  channel_->start(std::move(handlers));
  if (broken_) return on_supervisor_gone();  // The next one begins anew.
  listen(secure_ ? *inner_ : endpoint_);
  for (const char* service : {"stdio", "control", "clock"}) {
    if (secure_) refuse_plain(service);
  }
  endpoint_.listen("ssh", [weak](std::shared_ptr<Connection> connection) {
    if (const auto self = weak.lock()) self->ssh_.accept(std::move(connection));
  });
  if (secure_) inner_->start();
  endpoint_.start();
}

// Who asks for it has the link's key, or he would not be heard, and no login: that is told.
void LinkState::refuse_plain(const char* service) {
  endpoint_.listen(service, [weak = weak_from_this(), service](std::shared_ptr<Connection> asked) {
    asked->reset(serial_transport::Reason::kNoSuchService);
    const auto self = weak.lock();
    if (!self) return;
    LinkHeader header;
    header.type = LinkType::kSshNews;
    header.value = static_cast<uint32_t>(protocol::SshNews::kRefused);
    self->channel_->send(header, std::string(service) + " without SSH: the link is a secure one");
  });
}

// The latest login counts: one before it is of a host end that has gone, or will hear of it.
void LinkState::serve_link(common::UniqueFd fd) {
  if (!secure_ || ::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) return;
  next_link_ = std::move(fd);
  inner_->reopen();
}

common::Result<serial_transport::Link> LinkState::take_link() {
  if (!next_link_) return common::make_error(ENOTCONN, "open", "secure link", "nobody logged in");
  serial_transport::Link link(std::move(next_link_));
  link.traits.nested = true;
  return link;
}

void LinkState::close() {
  if (inner_) inner_->close();
  endpoint_.close();
  channel_->close();
  timer_.cancel();
}

void LinkState::on_message(const LinkHeader& header, std::string_view payload,
                           std::span<common::UniqueFd> fds) {
  if (header.type == LinkType::kHandOver) return hand_over();
  if (header.type == LinkType::kTakeOver) {
    if (!fds.empty()) broken_ |= !inheritance_.take(header, std::move(fds[0]), endpoint_, ssh_);
    return;
  }
  sessions_.on_message(header, payload, fds);
  if (header.type == LinkType::kStatsFile && !fds.empty()) {
    control_.use_stats_file(header.value, std::move(fds[0]));
  }
  control_.on_message(header, payload);
  clock_.on_message(header);
  ssh_.on_message(header, fds);
  stdio_.on_message(header, now_ms());
  arm();
}

// A secure link is in a login of its own, which is cut with all that is in it.
void LinkState::hand_over() {
  if (std::exchange(leaving_, true)) return;
  if (secure_) return leave_behind(*channel_, endpoint_, {});
  ssh_.hand_over([weak = weak_from_this()](std::vector<LeftLogin> logins) {
    if (const auto self = weak.lock()) {
      leave_behind(*self->channel_, self->endpoint_, std::move(logins));
    }
  });
}

void LinkState::arm() {
  const uint64_t deadline = stdio_.next_deadline_ms();
  if (deadline >= armed_ms_) return;  // too early does no harm: it looks again then
  armed_ms_ = deadline;
  const uint64_t now = now_ms();
  timer_.expires_after(std::chrono::milliseconds(deadline > now ? deadline - now : 0));
  timer_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const auto self = weak.lock();
    if (error || !self) return;
    self->armed_ms_ = ~uint64_t{0};
    self->stdio_.on_time(now_ms());
    self->arm();
  });
}

LinkProcess::LinkProcess(asio::any_io_executor executor, Options options)
    : state_(std::make_shared<LinkState>(executor, std::move(options))) {}
LinkProcess::~LinkProcess() { state_->close(); }
void LinkProcess::start(std::function<void()> on_supervisor_gone) {
  state_->start(std::move(on_supervisor_gone));
}

}  // namespace tether
