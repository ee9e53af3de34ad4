// What a login process gets from the link process: connections of its services, and a place for
// what people should know.
#pragma once

#include <sys/types.h>

#include <array>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "common/result.h"
#include "common/unique_fd.h"
#include "protocol/control.pb.h"
#include "tether/link/ssh/ssh_role.h"

namespace tether {

class SshServices {
 public:
  using Reply = ::tether::v1::Reply;
  using Request = ::tether::v1::Request;

  // Connections lost in a row, before one is of use: more are no link process that was replaced.
  static constexpr int kMostLost = 4;

  explicit SshServices(int requests) : requests_(requests) {}
  // A non-blocking socket that is a connection of the service, with `first` on its way there, at
  // most some KiB; an invalid one when there is none.
  common::UniqueFd open(SshAsk service, std::string_view first = {});
  // An event, with text from whoever is at the door: escaped, cut.
  void news(SshAsk what, std::string_view text);
  // kRefused, of what a login may do again and again: each reason once.
  void complain(const std::string& why);

  // Asks the control service; gives the request an id, which is returned: empty when it contains
  // text that is not UTF-8. `then` is called with the reply, from pump(), unless forgotten before.
  // Should another link process take over meanwhile it is asked again, and answered once.
  std::string ask(Request request, std::function<void(const Reply&)> then = {});
  void forget(const std::string& id) { waiting_.erase(id); }
  // The reply goes to somebody else. An id that nobody waits for is none.
  void redirect(const std::string& id, std::function<void(const Reply&)> then);
  // Sends what can be now, and receives unless it is known that nothing has come. False: the link
  // process has gone, and nobody has taken over.
  bool pump(bool readable = true);
  int fd() const { return control_.get(); }
  short events() const;
  // Something was asked and is not answered yet.
  bool waits() const { return !waiting_.empty(); }

 private:
  bool receive();
  bool ask_again();
  struct Asked {
    std::string bytes;  // with their length
    std::function<void(const Reply&)> then;
  };
  static constexpr size_t kMostComplaints = 16;  // there are fewer
  int requests_;
  std::set<std::string> complaints_;
  common::UniqueFd control_;
  std::string in_;
  std::string out_;
  int lost_ = 0;
  std::map<std::string, Asked> waiting_;  // by request id: those that have no answer
};

// A user's name as events have it: whoever is at the door chose it, and the reason behind it has to
// have room too.
std::string shown_name(std::string_view user);

// From a non-blocking socket, at the end of `bytes`. False: it has ended.
bool receive_some(int fd, std::string& bytes);
// The same, where it lies until the next call of either; `most` of them.
bool receive_some(int fd, std::string_view& bytes, size_t most = SIZE_MAX);
// Takes what was sent out of `bytes`. False: the other end has gone.
bool send_some(int fd, std::string& bytes);

}  // namespace tether
