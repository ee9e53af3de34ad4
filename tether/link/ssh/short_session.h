// A session that the agent itself serves in the container, for its exit code and some output: is
// there such a user, which addresses has a name.
#pragma once

#include <poll.h>

#include <array>
#include <string>

#include "common/unique_fd.h"
#include "protocol/stdio.h"
#include "tether/link/ssh/services.h"

namespace tether {

class ShortSession {
 public:
  static constexpr size_t kMaxOutput = 4096;

  // Asked for at once, as `user`; `argument`: as the kind wants it.
  ShortSession(SshServices& services, ::tether::v1::Login::Kind kind, const std::string& user,
               const std::string& argument = {});
  ~ShortSession();
  ShortSession(const ShortSession&) = delete;
  ShortSession& operator=(const ShortSession&) = delete;

  // What to wait for beside the services; fd -1: nothing.
  pollfd waits() const;
  // Does what can be done now.
  void pump();
  bool over() const { return over_; }
  bool worked() const { return worked_; }  // exit code 0
  const std::string& output() const { return output_; }

 private:
  void expect();
  void attach();
  void connect();
  void on_frame(const protocol::StdioReader::Frame& frame);

  SshServices& services_;
  std::string request_;  // that is waited for
  uint32_t session_ = 0;
  int lost_ = 0;                        // connections
  std::array<uint64_t, 2> received_{};  // of its output
  protocol::StdioAttach wanted_;
  common::UniqueFd agent_;
  protocol::StdioReader reader_;
  std::string to_agent_;
  std::string output_;
  bool over_ = false, worked_ = false;
};

}  // namespace tether
