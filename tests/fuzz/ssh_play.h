// What a login process has around it, played from a fuzzer's bytes: its client, on a line without
// encryption (ssh_hooks.cc), and the link process with the sessions behind it.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "common/unique_fd.h"
#include "fuzz_input.h"

namespace tether {

class SshPlay {
 public:
  using FuzzInput = serial_transport::FuzzInput;

  // `connection` and `requests` are what the login process has of them.
  SshPlay(FuzzInput& input, int& connection, int& requests);

  // Whenever the login process would wait: takes what it has said, does one thing more.
  void step();
  // A socket of whoever the process connects to, its other end; invalid: there is nobody.
  common::UniqueFd connect();

 private:
  void begin();
  void key_exchange();
  void log_in(const char* user, unsigned char key);
  void act();
  void say(std::string_view bytes);
  void packet(std::string payload, unsigned count = 1);
  void open_channel();
  void ask_channel();
  void channel_data();
  void short_message();
  void answer_control();
  void hear_requests();
  void reply(const std::string& bytes);
  bool let_in();
  void answer_stdio();
  void forget();
  void leave();
  void take_asks();
  void drain();
  std::string text(size_t most);
  std::string channel();
  std::string some_string(size_t most);

  FuzzInput& input_;
  common::UniqueFd client_, asks_;
  std::vector<common::UniqueFd> control_, others_;
  std::vector<std::string> requests_;  // ids that wait for an answer
  std::string heard_;                  // of control
  std::string last_;                   // packet
  size_t begun_ = 0;                   // how much of the beginning has been said
  size_t sent_ = 0;                    // bytes
  unsigned checks_ = 0;                // steps in which a login may still be let in
  unsigned actions_ = 0, steps_after_ = 0;
  bool left_ = false;
};

// The play that the hooks belong to; null: they do what they stand for.
extern SshPlay* ssh_play;

}  // namespace tether
