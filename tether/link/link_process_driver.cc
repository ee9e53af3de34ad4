#include "tether/link/link_process_driver.h"

#include <fcntl.h>

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <optional>

#include "protocol/journal.h"
#include "tether/link/clock_server.h"
#include "tether/link/connection_pump_driver.h"
#include "tether/link/control_server.h"
#include "tether/link/link_hand_over.h"
#include "tether/link/ssh_server_driver.h"
#include "tether/link/stdio_server.h"
#include "tether/link/supervisor_channel_driver.h"
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

class LinkState : public std::enable_shared_from_this<LinkState> {
 public:
  LinkState(const asio::any_io_executor& executor, LinkProcess::Options options)
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

  void start(std::function<void()> on_supervisor_gone);
  void close();
  // After anything that may have put input in flight.
  void arm();
  StdioServer& stdio() { return stdio_; }
  ControlServer& control() { return control_; }
  ClockServer& clock() { return clock_; }

 private:
  void on_message(const LinkHeader& header, std::string_view payload,
                  std::span<common::UniqueFd> fds);
  template <typename Stream>
  void accept_stdio(std::shared_ptr<Stream> connection,
                    std::shared_ptr<const LoginSessions> login = {});
  void accept_control(std::shared_ptr<Connection> connection);
  void serve_login(SshAsk asked, std::shared_ptr<LocalConnection> connection,
                   std::shared_ptr<LoginSessions> login);
  void accept_clock(std::shared_ptr<Connection> connection);
  void listen(serial_transport::Endpoint& endpoint);
  void refuse_plain(const char* service);
  void serve_link(common::UniqueFd fd);
  common::Result<serial_transport::Link> take_link();
  void hand_over();

  const bool secure_;
  SessionTable sessions_;
  std::shared_ptr<SupervisorChannel> channel_;
  StdioServer stdio_;
  ControlServer control_;
  ClockServer clock_;
  SshServer ssh_;
  serial_transport::Endpoint endpoint_;
  // Of a secure link: what its control plane comes by, in SSH, on endpoint_'s connections.
  std::optional<serial_transport::Endpoint> inner_;
  common::UniqueFd next_link_;  // for inner_
  asio::steady_timer timer_;
  uint64_t armed_ms_ = ~uint64_t{0};
  Inheritance inheritance_;
  bool leaving_ = false;
  bool broken_ = false;  // what its predecessor left makes no sense
};

namespace {

class StdioPeer : public Peer {
 public:
  StdioPeer(std::shared_ptr<LinkState> state, StdioServer::ClientId id)
      : state_(std::move(state)), id_(id) {}
  ~StdioPeer() override { state_->stdio().close(id_); }
  void on_bytes(std::string_view bytes) override {
    state_->stdio().on_bytes(id_, bytes, now_ms());
    state_->arm();
  }
  void on_eof() override { state_->stdio().on_eof(id_); }
  bool wants_input() const override { return state_->stdio().wants_input(id_); }
  void fill_output(std::string& bytes) override { state_->stdio().take_output(id_, bytes); }
  Ending ending() const override {
    switch (state_->stdio().ending(id_)) {
      case Attach::Ending::kNone:
        return Ending::kNone;
      case Attach::Ending::kFinish:
        return Ending::kFinish;
      case Attach::Ending::kReset:
        break;
    }
    return Ending::kReset;
  }

 private:
  std::shared_ptr<LinkState> state_;
  StdioServer::ClientId id_;
};

class ControlPeer : public Peer {
 public:
  ControlPeer(std::shared_ptr<LinkState> state, std::function<void()> wake,
              std::shared_ptr<LoginSessions> login = {})
      : state_(std::move(state)), client_(state_->control(), std::move(wake), std::move(login)) {}
  void on_bytes(std::string_view bytes) override { client_.on_bytes(bytes); }
  void on_eof() override { eof_ = true; }
  bool wants_input() const override { return !eof_ && client_.wants_input(); }
  std::string take_output() override { return client_.take_output(); }
  Ending ending() const override {
    if (client_.bad()) return Ending::kReset;
    return eof_ ? Ending::kFinish : Ending::kNone;
  }

 private:
  std::shared_ptr<LinkState> state_;
  ControlClient client_;
  bool eof_ = false;
};

class ClockPeer : public Peer {
 public:
  ClockPeer(std::shared_ptr<LinkState> state, std::function<void()> wake)
      : state_(std::move(state)), client_(state_->clock(), std::move(wake)) {}
  void on_bytes(std::string_view bytes) override { client_.on_bytes(bytes); }
  void on_eof() override { eof_ = true; }
  bool wants_input() const override { return !eof_ && client_.wants_input(); }
  std::string take_output() override { return client_.take_output(); }
  Ending ending() const override { return eof_ ? Ending::kFinish : Ending::kNone; }

 private:
  std::shared_ptr<LinkState> state_;
  ClockClient client_;
  bool eof_ = false;
};

void refuse(Connection& connection) { connection.reset(serial_transport::Reason::kTooMany); }
void refuse(LocalConnection& connection) { connection.reset(); }

template <typename Stream>
std::function<void()> waker(const std::shared_ptr<Pump<Stream>>& pump) {
  return [weak = std::weak_ptr(pump)] {
    if (const auto alive = weak.lock()) alive->wake();
  };
}

}  // namespace

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

void LinkState::listen(serial_transport::Endpoint& endpoint) {
  const auto weak = weak_from_this();
  endpoint.listen("stdio", [weak](std::shared_ptr<Connection> connection) {
    if (const auto self = weak.lock()) self->accept_stdio(std::move(connection));
  });
  endpoint.listen("control", [weak](std::shared_ptr<Connection> connection) {
    if (const auto self = weak.lock()) self->accept_control(std::move(connection));
  });
  endpoint.listen("clock", [weak](std::shared_ptr<Connection> connection) {
    if (const auto self = weak.lock()) self->accept_clock(std::move(connection));
  });
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

template <typename Stream>
void LinkState::accept_stdio(std::shared_ptr<Stream> connection,
                             std::shared_ptr<const LoginSessions> login) {
  const auto pump = std::make_shared<Pump<Stream>>(connection);
  const auto id = stdio_.open(waker(pump), std::move(login));
  if (id == 0) return refuse(*connection);
  pump->start(std::make_unique<StdioPeer>(shared_from_this(), id));
}

void LinkState::accept_control(std::shared_ptr<Connection> connection) {
  if (control_.full()) return connection->reset(serial_transport::Reason::kTooMany);
  const auto pump = std::make_shared<ConnectionPump>(std::move(connection));
  pump->start(std::make_unique<ControlPeer>(shared_from_this(), waker(pump)));
}

// Of a login process, which parses what anybody may send: it gets no more than logins need.
void LinkState::serve_login(SshAsk asked, std::shared_ptr<LocalConnection> connection,
                            std::shared_ptr<LoginSessions> login) {
  if (!login->on_news) {
    login->on_news = [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->stdio_.on_login_news(now_ms());
    };
  }
  if (asked == SshAsk::kServeStdio) return accept_stdio(std::move(connection), std::move(login));
  if (control_.full()) return connection->reset();
  const auto pump = std::make_shared<LocalPump>(std::move(connection));
  pump->start(std::make_unique<ControlPeer>(shared_from_this(), waker(pump), std::move(login)));
}

void LinkState::accept_clock(std::shared_ptr<Connection> connection) {
  if (clock_.full()) return connection->reset(serial_transport::Reason::kTooMany);
  const auto pump = std::make_shared<ConnectionPump>(std::move(connection));
  pump->start(std::make_unique<ClockPeer>(shared_from_this(), waker(pump)));
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
