// A hook of the stage `early` that stays: outside of the container, root beside PID 1, it looks
// again and again at what there is outside, and says on the first serial port one line of JSON each
// time (tests/vm/outside.py):
//   outside: {"round":1,"mounts":"...","mounted":["..."],"zombies":["..."],"links":[{...}]}
// `mounts` stands for all of PID 1's; where they have changed `mounted` lists them.
// and once, when /run/tether/root/start-helper is there, it starts the program that an attempt to
// escape would have the kernel start, as the kernel would: `ran` says how it ended.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <sstream>
#include <string>

#include "common/io.h"
#include "common/unique_fd.h"
#include "staying_hook.h"

namespace {

constexpr long kPauseNs = 400000000;
constexpr size_t kMost = size_t{1} << 20U;
constexpr const char* kAsked = "/run/tether/root/start-helper";
constexpr const char* kHelper = "/run/tether/root/escape";

std::string content(const std::string& path) {
  auto bytes = common::read_file(path, kMost);
  return bytes.has_value() ? *bytes : std::string();
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return out + "\"";
}

// The mounts of PID 1: a number that stands for all of them, and each where it is and what.
std::string mounts() {
  static uint64_t before = 0;
  uint64_t hash = 14695981039346656037U;
  std::string out;
  const std::string all = content("/proc/1/mountinfo");
  for (const char c : all) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  std::istringstream lines(all);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string where;
    for (int i = 0; i < 5; ++i) words >> where;
    out += (out.empty() ? "" : ",") + quoted(where + line.substr(line.find(" - ")));
  }
  const bool changed = hash != before;
  before = hash;
  return quoted(std::to_string(hash)) + (changed ? ",\"mounted\":[" + out + "]" : "");
}

std::string line_of(const std::string& status, const std::string& name) {
  const size_t at = status.find("\n" + name + ":");
  if (at == std::string::npos) return {};
  const size_t begin = status.find_first_not_of(" \t", at + name.size() + 2);
  return status.substr(begin, status.find('\n', begin) - begin);
}

std::string zombies() {
  std::string out;
  for (const std::string& pid : staying_hook::names_in("/proc")) {
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string status = "\n" + content("/proc/" + pid + "/status");
    if (line_of(status, "State").rfind('Z', 0) != 0) continue;
    out += (out.empty() ? "" : ",") +
           quoted(pid + " " + line_of(status, "Name") + " of " + line_of(status, "PPid"));
  }
  return "[" + out + "]";
}

std::string inode(const std::string& path) {
  struct stat about {};
  return ::stat(path.c_str(), &about) == 0 ? std::to_string(about.st_ino) : "none";
}

// What the kernel says of a link process, beside PID 1's.
std::string link_process(const std::string& pid) {
  const std::string place = "/proc/" + pid;
  const std::string status = "\n" + content(place + "/status");
  std::string out = "{\"pid\":" + quoted(pid);
  for (const char* name : {"Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "CapInh", "CapPrm",
                           "CapEff", "CapBnd", "CapAmb"}) {
    out += "," + quoted(name) + ":" + quoted(line_of(status, name));
  }
  struct stat root {};
  const bool seen = ::stat((place + "/root/.").c_str(), &root) == 0;
  std::string names;
  for (const std::string& name : staying_hook::names_in(place + "/root/.")) {
    if (name != "." && name != "..") names += (names.empty() ? "" : ",") + quoted(name);
  }
  out += ",\"root\":[" + names + "]";
  out += ",\"root_mode\":" + std::to_string(seen ? root.st_mode & 07777U : 07777U);
  out += ",\"root_owner\":" + std::to_string(seen ? root.st_uid : 0);
  out += ",\"root_is_pid_1s\":" +
         std::string(inode(place + "/root/.") == inode("/proc/1/root/.") ? "true" : "false");
  for (const char* kind : {"net", "mnt"}) {
    out += "," + quoted(kind) + ":[" + quoted(inode(place + "/ns/" + kind)) + "," +
           quoted(inode(std::string("/proc/1/ns/") + kind)) + "]";
  }
  std::string interfaces;
  std::istringstream lines(content(place + "/net/dev"));
  for (std::string line; std::getline(lines, line);) {
    if (const size_t end = line.find(':'); end != std::string::npos) {
      interfaces += line.substr(0, end);
    }
  }
  return out + ",\"interfaces\":" + quoted(interfaces) + "}";
}

std::string links() {
  std::string out;
  for (const std::string& pid : staying_hook::processes("link")) {
    out += (out.empty() ? "" : ",") + link_process(pid);
  }
  return "[" + out + "]";
}

// Once: the exit code.
std::string run_helper() {
  static std::string ran;
  if (!ran.empty() || ::access(kAsked, F_OK) != 0) return ran;
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::execl(kHelper, kHelper, "helper", nullptr);
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  ran = ",\"ran\":" + std::to_string(WIFEXITED(status) ? WEXITSTATUS(status) : 128);
  return ran;
}

[[noreturn]] void watch() {
  const common::UniqueFd line(::open("/dev/ttyS0", O_WRONLY | O_NOCTTY));
  for (unsigned round = 1;; ++round) {
    const std::string text = "outside: {\"round\":" + std::to_string(round) + run_helper() +
                             ",\"mounts\":" + mounts() + ",\"zombies\":" + zombies() +
                             ",\"links\":" + links() + "}\n";
    (void)!::write(line.get(), text.data(), text.size());
    const timespec pause{0, kPauseNs};
    ::nanosleep(&pause, nullptr);
  }
}

}  // namespace

int main() {
  int exit_code = 0;
  if (!staying_hook::stay(exit_code)) return exit_code;
  watch();
}
