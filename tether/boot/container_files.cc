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

}  // namespace

std::string make_hosts(std::string_view image_hosts, std::string_view hostname) {
  std::string text(kBegin);
  text +=
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n"
      "fe00::0\tip6-localnet\n"
      "ff00::0\tip6-mcastprefix\n"
      "ff02::1\tip6-allnodes\n"
      "ff02::2\tip6-allrouters\n";
  text += "127.0.1.1\t";
  text += hostname;
  text += '\n';
  text += kEnd;
  text += without_ours(image_hosts);
  return text;
}

common::Status write_container_files(int root, const std::string& hostname) {
  std::string image_hosts;
  auto hosts = read_in_root(root, "/etc/hosts", kMaxHosts);
  if (hosts.has_value()) {
    image_hosts = std::move(*hosts);
  } else if (const int why = hosts.error().code.value(); why != ENOENT && why != EINVAL) {
    return hosts.error();
  }
  RETURN_IF_ERROR(replace_in_root(root, "/etc", "hosts", make_hosts(image_hosts, hostname)));
  RETURN_IF_ERROR(replace_in_root(root, "/etc", "hostname", hostname + "\n"));
  // What an image brings was true where it was built.
  return replace_in_root(root, "/etc", "resolv.conf", "# No name server is configured.\n");
}

}  // namespace tether
