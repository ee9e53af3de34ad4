// For tests: a guest that serves `stdio` for one session, and `control`.
#pragma once

#include <boost/asio/write.hpp>
#include <memory>
#include <string>
#include <vector>

#include "protocol/control.pb.h"
#include "vch/interaction/fake_session.h"
#include "vch/shim/fake_machine.h"

namespace vch {

// Moves bytes between a connection and a FakeAttach.
class FakePump : public std::enable_shared_from_this<FakePump> {
 public:
  FakePump(FakeSession& session, ConnectionPtr connection)
      : attach_(session), connection_(std::move(connection)) {}
  void start() {
    read();
    kick();
  }
  // The session changed.
  void kick() {
    if (writing_ || !connection_) return;
    out_ = attach_.take_output();
    if (!reading_ && attach_.wants_input()) read();
    if (out_.empty()) {
      if (attach_.finished()) connection_->shutdown_write();
      return;
    }
    writing_ = true;
    boost::asio::async_write(*connection_, boost::asio::buffer(out_),
                             [self = shared_from_this()](auto error, size_t) {
                               self->writing_ = false;
                               if (!error) self->kick();
                             });
  }

 private:
  void read() {
    reading_ = true;
    connection_->async_read_some(boost::asio::buffer(in_),
                                 [self = shared_from_this()](auto error, size_t size) {
                                   self->reading_ = false;
                                   if (error) return self->connection_.reset();
                                   self->attach_.on_bytes({self->in_.data(), size});
                                   self->kick();
                                   if (!self->reading_ && self->attach_.wants_input()) self->read();
                                 });
  }

  FakeAttach attach_;
  ConnectionPtr connection_;
  std::array<char, 65536> in_;
  std::string out_;
  bool reading_ = false, writing_ = false;
};

// Answers requests by `answer`, which sees each once.
class FakeControl : public std::enable_shared_from_this<FakeControl> {
 public:
  using Answer = std::function<tether::v1::Reply(const tether::v1::Request&)>;
  FakeControl(ConnectionPtr connection, Answer answer)
      : connection_(std::move(connection)), answer_(std::move(answer)) {}
  void read() {
    connection_->async_read_some(boost::asio::buffer(buffer_),
                                 [self = shared_from_this()](auto error, size_t size) {
                                   if (error) return;
                                   self->in_.append(self->buffer_.data(), size);
                                   self->take();
                                   self->read();
                                 });
  }

 private:
  // Requests of these tests are shorter than 128 bytes: their length is one byte.
  void take() {
    while (!in_.empty() && in_.size() > static_cast<size_t>(in_[0])) {
      const auto length = static_cast<size_t>(in_[0]);
      tether::v1::Request request;
      EXPECT_TRUE(request.ParseFromString(in_.substr(1, length)));
      in_.erase(0, 1 + length);
      tether::v1::Message message;
      *message.mutable_reply() = answer_(request);
      message.mutable_reply()->set_id(request.id());
      const std::string bytes = message.SerializeAsString();
      auto out = std::make_shared<std::string>(1, static_cast<char>(bytes.size()));
      *out += bytes;
      boost::asio::async_write(*connection_, boost::asio::buffer(*out), [out](auto, size_t) {});
    }
  }
  ConnectionPtr connection_;
  Answer answer_;
  std::array<char, 4096> buffer_;
  std::string in_;
};

// The agent; the session outlives the guest's endpoint, as if the link process alone had died.
class FakeAgent {
 public:
  explicit FakeAgent(FakeMachine& machine) : machine_(machine) {}
  ~FakeAgent() { halt(); }
  FakeAgent(const FakeAgent&) = delete;
  FakeAgent& operator=(const FakeAgent&) = delete;

  void boot() {
    halt();
    guest_ = &machine_.boot();
    guest_->endpoint().listen("stdio", [this](ConnectionPtr connection) {
      pumps_.push_back(std::make_shared<FakePump>(session, std::move(connection)));
      pumps_.back()->start();
    });
    guest_->endpoint().listen("control", [this](ConnectionPtr connection) {
      std::make_shared<FakeControl>(std::move(connection), [this](const auto& request) {
        return answer(request);
      })->read();
    });
    guest_->start();
  }
  // The guest is gone; the session stays.
  void halt() {
    if (guest_ == nullptr) return;
    guest_->run([this] { pumps_.clear(); });
    guest_ = nullptr;
    machine_.halt();
  }
  // Changes the session in the guest's thread, or looks at it.
  void change(const std::function<void(FakeSession&)>& action) {
    guest_->run([&] {
      action(session);
      for (const auto& pump : pumps_) pump->kick();
    });
  }
  // From within the guest's thread.
  void kick() {
    for (const auto& pump : pumps_) pump->kick();
  }
  std::vector<std::string> faults() {
    std::vector<std::string> out;
    guest_->run([&] { out = session.faults; });
    return out;
  }

  FakeSession session;  // once booted, in the guest's thread alone
  std::function<tether::v1::Reply(const tether::v1::Request&)> answer = [](const auto&) {
    return tether::v1::Reply();
  };

 private:
  FakeMachine& machine_;
  FakeGuest* guest_ = nullptr;
  std::vector<std::shared_ptr<FakePump>> pumps_;
};

}  // namespace vch
