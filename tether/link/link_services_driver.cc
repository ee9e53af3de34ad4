// The link process's services, and whoever comes to them.
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "tether/link/link_state.h"
#include "tether/supervisor/clock.h"

namespace tether {
using serial_transport::Connection;

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

}  // namespace tether
