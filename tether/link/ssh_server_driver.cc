#include "tether/link/ssh_server_driver.h"

#include <cerrno>
#include <string>
#include <utility>

#include "protocol/journal.h"
#include "tether/link/ssh_login_driver.h"

namespace tether {
using serial_transport::Connection;

void SshServer::accept(std::shared_ptr<Connection> connection) {
  if (waiting_.size() >= kMaxWaiting) {
    return connection->reset(serial_transport::Reason::kTooMany);
  }
  LinkHeader header;
  header.type = LinkType::kSshLogin;
  header.writer = {++last_, 0};
  waiting_.emplace(last_, std::move(connection));
  port_.send(header);
}

void SshServer::on_message(const LinkHeader& header, std::span<common::UniqueFd> fds) {
  if (header.type != LinkType::kSshStarted) return;
  const auto found = waiting_.find(header.writer[0]);
  if (found == waiting_.end()) return;
  const auto connection = std::move(found->second);
  waiting_.erase(found);
  if (header.value != 0 || fds.size() != 2) {
    const bool many = header.value == EAGAIN;
    if (many) tell_full();
    return connection->reset(many ? serial_transport::Reason::kTooMany
                                  : serial_transport::Reason::kNoSuchService);
  }
  full_ = false;
  LeftLogin login;
  login.connection = connection;
  login.wire = std::move(fds[0]);
  login.requests = std::move(fds[1]);
  take_over(std::move(login));
}

void SshServer::on_port_ready() {
  for (const auto& known : logins_) {
    if (const auto login = known.lock()) login->on_port_ready();
  }
}

// Once, until there is room again: whoever is refused may try as often as he likes.
void SshServer::tell_full() {
  if (std::exchange(full_, true)) return;
  LinkHeader header;
  header.type = LinkType::kSshNews;
  header.value = static_cast<uint32_t>(protocol::SshNews::kRefused);
  port_.send(header, "more than " + std::to_string(kMaxSshLogins) + " logins");
}

void SshServer::take_over(LeftLogin left) {
  const auto login = std::make_shared<SshLogin>(port_, serve_, serve_link_, left.connection,
                                                std::move(left.wire), std::move(left.requests));
  login->set(left);
  std::erase_if(logins_, [](const auto& known) { return known.expired(); });
  logins_.push_back(login);
  login->start();
}

void SshServer::hand_over(std::function<void(std::vector<LeftLogin>)> then) {
  struct Gathering {
    std::vector<std::shared_ptr<SshLogin>> logins;
    size_t left = 0;
    std::function<void(std::vector<LeftLogin>)> then;
  };
  const auto all = std::make_shared<Gathering>();
  all->then = std::move(then);
  for (const auto& known : logins_) {
    if (auto login = known.lock()) all->logins.push_back(std::move(login));
  }
  all->left = all->logins.size();
  if (all->left == 0) return all->then({});
  for (const auto& login : all->logins) {
    login->leave([all] {
      if (--all->left != 0) return;
      std::vector<LeftLogin> out;
      for (const auto& one : all->logins) {
        if (auto left = one->left()) out.push_back(std::move(*left));
      }
      all->then(std::move(out));
    });
  }
}

}  // namespace tether
