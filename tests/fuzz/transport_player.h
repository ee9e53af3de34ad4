// A user of connections who does what a fuzzer's input says and keeps books on what the core tells
// it.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz_input.h"
#include "serial-transport/core.h"

namespace serial_transport {

inline constexpr size_t kMostConnections = 12;
inline constexpr uint32_t kWindow = 3000;

class Player : public CoreEvents {
 public:
  struct Book {
    uint64_t salt = 0;
    bool opened_here = false, accepted = false, fin = false, finished = false;
    uint64_t sent = 0, got = 0, read = 0;
  };
  Player(FuzzInput& input, Role role, bool honest_peer, bool check, uint64_t life)
      : input_(input), honest_peer_(honest_peer), life_(life) {
    CoreOptions options;
    options.role = role;
    options.incarnation = life * 2 + 1;
    options.payload_check = check;
    options.window = kWindow;
    options.send_buffer = 2000;
    options.max_connections = kMostConnections;
    options.make_nonce = [this] {
      Nonce nonce{};
      nonce[0] = static_cast<std::byte>(++nonces_);
      nonce[1] = static_cast<std::byte>(nonces_ >> 8U);
      nonce[2] = static_cast<std::byte>(life_);
      return nonce;
    };
    core.emplace(std::move(options), *this);
  }
  void on_session(bool) override {}
  void on_open(ConnectionId id, TrafficClass traffic, std::string_view service) override {
    require(!books.contains(id), "an open connection is not opened");
    if (honest_peer_) require(service.size() == 8, "the service that was asked for");
    if (input_.byte() % 8 == 7) return core->refuse(id, Reason::kNoSuchService);
    Book& book = books[id];
    for (const char c : service.substr(0, 8)) book.salt = book.salt << 8U | static_cast<uint8_t>(c);
    book.accepted = true;
    core->accept(id, traffic);
  }
  void on_accepted(ConnectionId id) override {
    require(books.contains(id) && !books[id].accepted, "accepted once");
    books[id].accepted = true;
  }
  void on_data(ConnectionId id, std::span<const std::byte> bytes) override {
    require(books.contains(id), "data of a live connection");
    Book& book = books[id];
    require(book.accepted && !book.fin, "data between acceptance and end");
    require(book.got - book.read + bytes.size() <= kWindow, "no more than the credit");
    for (const std::byte b : bytes) {
      require(!honest_peer_ || b == pattern(book, !book.opened_here, book.got), "the right byte");
      ++book.got;
    }
  }
  void on_writable(ConnectionId id) override {
    require(books.contains(id), "writable while alive");
    if (input_.byte() % 2 != 0) write(id);
  }
  void on_fin(ConnectionId id) override {
    require(books.contains(id) && !std::exchange(books[id].fin, true), "one end a direction");
  }
  void on_done(ConnectionId id) override {
    require(books.contains(id) && books[id].fin, "done after the end");
    books.erase(id);
  }
  void on_end(ConnectionId id, Reason) override { books.erase(id); }

  static std::byte pattern(const Book& book, bool from_opener, uint64_t offset) {
    return static_cast<std::byte>(book.salt * 5 + (from_opener ? 1U : 0U) + offset * 3 +
                                  offset / 255);
  }
  // One thing that a user may do.
  void act() {
    if (books.empty() || input_.byte() % 4 == 0) return open();
    auto it = books.begin();
    std::advance(it, input_.below(books.size()));
    const ConnectionId id = it->first;
    switch (input_.below(8)) {
      case 0:
        it->second.finished = true;
        return core->finish(id);
      case 1:
        core->reset(id, static_cast<Reason>(input_.byte()));
        books.erase(id);
        return;
      case 2:
        if (!it->second.accepted) return;
        core->abandon(id);
        books.erase(id);
        return;
      case 3:
      case 4: {
        const size_t size = input_.below(it->second.got - it->second.read + 1);
        it->second.read += size;
        return core->consumed(id, size);
      }
      default:
        return write(id);
    }
  }
  void open() {
    Book book;
    book.opened_here = true;
    book.salt = life_ << 8U | input_.byte();
    std::array<char, 8> service{};
    for (size_t i = 0; i < 8; ++i) service[i] = static_cast<char>(book.salt >> (56 - 8 * i));
    const auto id =
        core->open({service.data(), service.size()}, static_cast<TrafficClass>(input_.byte() % 3));
    if (id) books[*id] = book;
  }
  void write(ConnectionId id) {
    Book& book = books[id];
    if (book.finished) return;
    std::vector<std::byte> bytes(input_.below(6000));
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = pattern(book, book.opened_here, book.sent + i);
    }
    book.sent += core->write(id, bytes);
  }
  std::optional<Core> core;
  std::map<ConnectionId, Book> books;

 private:
  FuzzInput& input_;
  const bool honest_peer_;
  const uint64_t life_;
  uint32_t nonces_ = 0;
};

}  // namespace serial_transport
