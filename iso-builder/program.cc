#include "iso-builder/program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string_view>

#include "common/unique_fd.h"

namespace iso_builder {
namespace {

constexpr size_t kKeptOutput = 4096;

class SpawnActions {
 public:
  SpawnActions() { ::posix_spawn_file_actions_init(&actions_); }
  ~SpawnActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (std::string& string : strings) out.push_back(string.data());
  out.push_back(nullptr);
  return out;
}

// The caller's environment without what `changes` sets, and the changes.
std::vector<std::string> merged_environment(std::vector<std::string> changes) {
  std::vector<std::string> merged = std::move(changes);
  const size_t count = merged.size();
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('=') + 1);
    bool changed = false;
    for (size_t i = 0; i < count; ++i) changed = changed || merged[i].starts_with(name);
    if (!changed) merged.emplace_back(text);
  }
  return merged;
}

std::string read_tail(int fd) {
  std::string tail;
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return tail;
    tail.append(buffer.data(), static_cast<size_t>(n));
    if (tail.size() > kKeptOutput) tail.erase(0, tail.size() - kKeptOutput);
  }
}

std::string last_line(std::string_view text) {
  const size_t end = text.find_last_not_of(" \n");
  if (end == std::string_view::npos) return {};
  text = text.substr(0, end + 1);
  return std::string(text.substr(text.rfind('\n') + 1));
}

}  // namespace

common::Status run_program(const std::vector<std::string>& arguments,
                           const std::vector<std::string>& environment,
                           const std::string& package) {
  std::vector<std::string> own_arguments = arguments;
  std::vector<std::string> changes = environment;
  changes.insert(changes.end(), {"LC_ALL=C", "TZ=UTC"});
  std::vector<std::string> merged = merged_environment(std::move(changes));

  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return common::errno_error("pipe");
  const common::UniqueFd read_end(ends[0]);
  common::UniqueFd write_end(ends[1]);
  SpawnActions actions;
  ::posix_spawn_file_actions_addopen(actions.get(), 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(actions.get(), write_end.get(), 1);
  ::posix_spawn_file_actions_adddup2(actions.get(), write_end.get(), 2);
  pid_t pid = -1;
  const int failed = ::posix_spawnp(&pid, arguments[0].c_str(), actions.get(), nullptr,
                                    pointers(own_arguments).data(), pointers(merged).data());
  if (failed != 0) {
    return common::make_error(failed, "run", arguments[0], "install the package " + package);
  }
  write_end.reset();
  const std::string output = read_tail(read_end.get());
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return common::errno_error("wait for", arguments[0]);
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  const std::string end = WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status))
                                              : "exit code " + std::to_string(WEXITSTATUS(status));
  return common::Error{{}, "run", arguments[0], end + ", it said: " + last_line(output)};
}

}  // namespace iso_builder
