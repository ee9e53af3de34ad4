#include "tether/boot/container_files.h"

#include <cerrno>

#include "tether/boot/in_root.h"

namespace tether {
namespace {

constexpr std::string_view kBegin = "# The containerVM's own entries, written at each start.\n";
constexpr std::string_view kEnd = "# The image's entries.\n";
constexpr size_t kMaxHosts = 1U << 20U;

// Only what stands at the very beginning can be ours.
std::string_view without_ours(std::string_view hosts) {
  if (!hosts.starts_with(kBegin)) return hosts;
  const size_t end = hosts.find(kEnd);
  return end == std::string_view::npos ? hosts : hosts.substr(end + kEnd.size());
}

// "box.example box": programs ask for the short name as well.
std::string names_of(std::string_view hostname) {
  std::string names(hostname);
  const size_t dot = hostname.find('.');
  if (dot != std::string_view::npos && dot != 0) {
    names += ' ';
    names += hostname.substr(0, dot);
  }
  return names;
}

void add_line(std::string& text, std::string_view keyword,
              const google::protobuf::RepeatedPtrField<std::string>& words) {
  if (words.empty()) return;
  text += keyword;
  for (const std::string& word : words) {
    text += ' ';
    text += word;
  }
  text += '\n';
}

}  // namespace

std::string make_hosts(std::string_view image_hosts, std::string_view hostname,
                       const protocol::pb::Network& network) {
  std::string text(kBegin);
  text +=
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n"
      "fe00::0\tip6-localnet\n"
      "ff00::0\tip6-mcastprefix\n"
      "ff02::1\tip6-allnodes\n"
      "ff02::2\tip6-allrouters\n";
  bool named = false;
  if (network.interfaces_size() > 0) {
    for (const std::string& address : network.interfaces(0).addresses()) {
      text += address.substr(0, address.find('/')) + "\t" + names_of(hostname) + "\n";
      named = true;
    }
  }
  if (!named) text += "127.0.1.1\t" + names_of(hostname) + "\n";
  for (const auto& host : network.hosts()) text += host.address() + "\t" + host.name() + "\n";
  text += kEnd;
  text += without_ours(image_hosts);
  return text;
}

std::string make_resolv_conf(const protocol::pb::Network& network) {
  // What an image brings was true where it was built.
  std::string text;
  if (network.name_servers().empty()) text = "# No name server is configured.\n";
  for (const std::string& server : network.name_servers()) text += "nameserver " + server + "\n";
  add_line(text, "search", network.search());
  add_line(text, "options", network.resolver_options());
  return text;
}

common::Status write_container_files(int root, const std::string& hostname,
                                     const protocol::pb::Network& network) {
  std::string image_hosts;
  auto hosts = read_in_root(root, "/etc/hosts", kMaxHosts);
  if (hosts.has_value()) {
    image_hosts = std::move(*hosts);
  } else if (const int why = hosts.error().code.value(); why != ENOENT && why != EINVAL) {
    return hosts.error();
  }
  RETURN_IF_ERROR(
      replace_in_root(root, "/etc", "hosts", make_hosts(image_hosts, hostname, network)));
  RETURN_IF_ERROR(replace_in_root(root, "/etc", "hostname", hostname + "\n"));
  return replace_in_root(root, "/etc", "resolv.conf", make_resolv_conf(network));
}

}  // namespace tether
