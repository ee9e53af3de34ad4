#include "tether/session/resolve.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <resolv.h>
#include <strings.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "common/io.h"

namespace tether {
namespace {

constexpr size_t kMaxHosts = 1U << 20U;
constexpr size_t kMaxAnswer = 16 * 1024;

std::string_view take_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t\r"), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(" \t\r"));
  line.remove_prefix(word.size());
  return word;
}

bool is_address(const std::string& text) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  return ::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1;
}

bool same_name(std::string_view one, std::string_view other) {
  return one.size() == other.size() && ::strncasecmp(one.data(), other.data(), one.size()) == 0;
}

void ask(res_state state, const std::string& name, ns_type type, std::string& out) {
  std::array<unsigned char, kMaxAnswer> answer;
  const int size =
      ::res_nsearch(state, name.c_str(), ns_c_in, type, answer.data(), int{answer.size()});
  ns_msg message;
  if (size <= 0 || size > int{answer.size()}) return;
  if (::ns_initparse(answer.data(), size, &message) != 0) return;
  const size_t wanted = type == ns_t_a ? sizeof(in_addr) : sizeof(in6_addr);
  for (int i = 0; i < ns_msg_count(message, ns_s_an); ++i) {
    ns_rr record;
    if (::ns_parserr(&message, ns_s_an, i, &record) != 0) return;
    if (ns_rr_type(record) != type || ns_rr_rdlen(record) != wanted) continue;
    std::array<char, INET6_ADDRSTRLEN> text;
    const int family = type == ns_t_a ? AF_INET : AF_INET6;
    if (::inet_ntop(family, ns_rr_rdata(record), text.data(), text.size()) == nullptr) continue;
    out += std::string(text.data()) + "\n";
  }
}

}  // namespace

std::vector<std::string> addresses_in(std::string_view hosts, std::string_view name) {
  std::vector<std::string> out;
  while (!hosts.empty()) {
    const size_t end = std::min(hosts.find('\n'), hosts.size());
    std::string_view line = hosts.substr(0, end);
    hosts.remove_prefix(std::min(end + 1, hosts.size()));
    line = line.substr(0, line.find('#'));
    std::string address(take_word(line));
    if (!is_address(address)) continue;
    for (std::string_view word = take_word(line); !word.empty(); word = take_word(line)) {
      if (!same_name(word, name)) continue;
      out.push_back(std::move(address));
      break;
    }
  }
  return out;
}

int run_resolve(const std::string& name) {
  std::string out;
  const auto hosts = common::read_file("/etc/hosts", kMaxHosts);
  if (hosts.has_value()) {
    for (const std::string& address : addresses_in(*hosts, name)) out += address + "\n";
  }
  struct __res_state state {};
  if (out.empty() && ::res_ninit(&state) == 0) {
    ask(&state, name, ns_t_a, out);
    ask(&state, name, ns_t_aaaa, out);
    ::res_nclose(&state);
  }
  if (common::write_all(STDOUT_FILENO, out, "stdout").has_error()) return 1;
  return out.empty() ? 1 : 0;
}

}  // namespace tether
