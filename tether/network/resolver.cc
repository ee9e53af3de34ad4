#include "tether/network/resolver.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <string>

#include "common/io.h"
#include "protocol/address.h"
#include "tether/boot/container_files.h"
#include "tether/boot/in_root.h"
#include "tether/network/change.h"
#include "tether/session/launch.h"

namespace tether {
namespace {

using protocol::pb::Network;

constexpr const char* kResolvConf = "/etc/resolv.conf";
constexpr unsigned kTimeLimitS = 20;
constexpr size_t kMaxFile = 1U << 20U;
constexpr int kMostServers = 3;
constexpr int kMostDomains = 6;

std::string address_text(const std::array<uint8_t, 4>& bytes) {
  protocol::IpAddress address;
  address.family = AF_INET;
  std::copy(bytes.begin(), bytes.end(), address.bytes.begin());
  return protocol::to_text(address);
}

template <size_t N>
std::string_view text_of(const std::array<char, N>& bytes) {
  const std::string_view all(bytes.data(), bytes.size());
  return all.substr(0, all.find('\0'));
}

void add_once(google::protobuf::RepeatedPtrField<std::string>& list, std::string text, int most) {
  if (list.size() >= most || std::find(list.begin(), list.end(), text) != list.end()) return;
  *list.Add() = std::move(text);
}

common::Status work() {
  ResolverTable table;
  if (::pread(kResolverFd, table.data(), sizeof table, 0) != sizeof table) {
    return common::make_error(EBADMSG, "read", "resolver table");
  }
  ASSIGN_OR_RETURN(Network network, present_network());
  merge_resolver(network, table);
  ASSIGN_OR_RETURN(const auto root, common::open_file(kContainerRoot, O_PATH | O_DIRECTORY));
  return rewrite_resolv_conf(root.get(), make_resolv_conf(network), kLastResolvConf);
}

}  // namespace

ResolverRow resolver_row(std::string_view interface, const DhcpNews& news) {
  ResolverRow row;
  interface.copy(row.name.data(), row.name.size() - 1);
  if (news.address == std::array<uint8_t, 4>{}) return row;
  row.count = std::min<uint32_t>(news.name_server_count, row.name_servers.size());
  std::copy_n(news.name_servers.begin(), row.count, row.name_servers.begin());
  row.domain = news.domain;
  row.domain.back() = '\0';
  return row;
}

void merge_resolver(Network& network, const ResolverTable& table) {
  const bool servers = network.name_servers().empty();
  const bool domains = network.search().empty();
  const auto add_lease = [&](const ResolverRow& row) {
    const size_t count = std::min<size_t>(row.count, row.name_servers.size());
    for (size_t i = 0; servers && i < count; ++i) {
      add_once(*network.mutable_name_servers(), address_text(row.name_servers[i]), kMostServers);
    }
    const std::string_view domain = text_of(row.domain);
    if (domains && protocol::good_host_name(domain)) {
      add_once(*network.mutable_search(), std::string(domain), kMostDomains);
    }
  };
  for (const auto& interface : network.interfaces()) {
    for (const std::string& server : interface.name_servers()) {
      if (servers) add_once(*network.mutable_name_servers(), server, kMostServers);
    }
    for (const ResolverRow& row : table) {
      if (row.name[0] != 0 && text_of(row.name) == interface.name()) add_lease(row);
    }
  }
}

common::Status rewrite_resolv_conf(int root, std::string_view text, const char* last) {
  ASSIGN_OR_RETURN(const std::string before, common::read_file(last, kMaxFile));
  const auto now = read_in_root(root, kResolvConf, kMaxFile);
  if (now.has_error() || *now != before || text == before) return {};
  // Whoever has it open, or mounted elsewhere, is to see the change: not a new file in its place.
  ASSIGN_OR_RETURN(const auto file,
                   open_in_root(root, kResolvConf, O_WRONLY | O_NONBLOCK | O_NOCTTY));
  struct stat about {};
  if (::fstat(file.get(), &about) != 0) return common::errno_error("stat", kResolvConf);
  if (!S_ISREG(about.st_mode)) return {};
  RETURN_IF_ERROR(common::write_all(file.get(), text, kResolvConf));
  if (::ftruncate(file.get(), static_cast<off_t>(text.size())) != 0) {
    return common::errno_error("truncate", kResolvConf);
  }
  return common::write_file_atomically(last, text, 0600);
}

void resolver_main() {
  ::alarm(kTimeLimitS);
  int failed = ENOMEM;
  try {
    const common::Status done = work();
    failed = done.has_error() ? done.error().code.value() : 0;
  } catch (const std::exception&) {
  }
  ::_exit(failed);
}

}  // namespace tether
