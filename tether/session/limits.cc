#include "tether/session/limits.h"

#include <sys/resource.h>

#include <cerrno>
#include <string>
#include <string_view>

namespace tether {
namespace {

constexpr rlim_t kOpenFiles = 1U << 20U;

struct Limit {
  std::string_view name;
  __rlimit_resource resource;
};
constexpr Limit kLimits[] = {
    {"as", RLIMIT_AS},           {"core", RLIMIT_CORE},         {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},       {"fsize", RLIMIT_FSIZE},       {"locks", RLIMIT_LOCKS},
    {"memlock", RLIMIT_MEMLOCK}, {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
    {"nofile", RLIMIT_NOFILE},   {"nproc", RLIMIT_NPROC},       {"rss", RLIMIT_RSS},
    {"rtprio", RLIMIT_RTPRIO},   {"rttime", RLIMIT_RTTIME},     {"sigpending", RLIMIT_SIGPENDING},
    {"stack", RLIMIT_STACK}};

common::Status set_limit(std::string_view name, rlim_t soft, rlim_t hard) {
  const rlimit limit{soft, hard};
  for (const Limit& known : kLimits) {
    if (known.name != name) continue;
    if (::setrlimit(known.resource, &limit) == 0) return {};
    return common::errno_error("set", "ulimit " + std::string(name));
  }
  return common::make_error(EINVAL, "set", "ulimit " + std::string(name));
}

}  // namespace

common::Status set_limits(const ::tether::v1::Session& session) {
  RETURN_IF_ERROR(set_limit("nofile", kOpenFiles, kOpenFiles));
  for (const char* name : {"core", "memlock", "nproc"}) {
    RETURN_IF_ERROR(set_limit(name, RLIM_INFINITY, RLIM_INFINITY));
  }
  for (const auto& wanted : session.ulimits()) {
    RETURN_IF_ERROR(set_limit(wanted.name(), wanted.soft(), wanted.hard()));
  }
  return {};
}

}  // namespace tether
