#include "vch/image/skopeo.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "common/io.h"
#include "vch/image/image_error.h"
#include "vch/image/reference.h"

namespace vch {
namespace {

using common::Error;
using common::Result;
using common::Status;
using common::UniqueFd;

constexpr int kProgressMs = 250;
constexpr size_t kMaxComplaint = 64 * 1024;  // of stderr, the latest
constexpr size_t kMaxShown = 400;

class SpawnActions {
 public:
  SpawnActions() { ::posix_spawn_file_actions_init(&actions_); }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  ~SpawnActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

std::vector<std::string> arguments(const std::string& registry_name) {
  std::vector<std::string> words = {"skopeo",          "--override-os", "linux",
                                    "--override-arch", "amd64",         "copy"};
  if (is_loopback(registry_name)) words.emplace_back("--src-tls-verify=false");
  words.push_back("docker://" + registry_name);
  // A relative path: skopeo would take a colon in the directory for the start of a tag.
  words.emplace_back("oci:layout:image");
  return words;
}

Result<pid_t> spawn(const std::vector<std::string>& words, const std::string& directory,
                    const UniqueFd& complaints) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  SpawnActions actions;
  ::posix_spawn_file_actions_addopen(actions.get(), STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(actions.get(), STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  ::posix_spawn_file_actions_adddup2(actions.get(), complaints.get(), STDERR_FILENO);
  ::posix_spawn_file_actions_addchdir_np(actions.get(), directory.c_str());
  pid_t pid = 0;
  const int code = ::posix_spawnp(&pid, argv[0], actions.get(), nullptr, argv.data(), environ);
  if (code != 0) return common::make_error(code, "start", words[0]);
  return pid;
}

uint64_t bytes_below(const std::string& directory) {
  std::error_code ignored;
  uint64_t bytes = 0;
  for (auto it = std::filesystem::recursive_directory_iterator(directory, ignored);
       !ignored && it != std::filesystem::recursive_directory_iterator(); it.increment(ignored)) {
    // Files come and go while skopeo renames them.
    std::error_code gone;
    const auto size = it->is_regular_file(gone) ? it->file_size(gone) : 0;
    if (!gone) bytes += size;
  }
  return bytes;
}

// What the program says, until it closes its stderr.
std::string listen(const UniqueFd& complaints, const std::string& directory,
                   const std::string& step, const Progress& progress) {
  std::string text;
  for (;;) {
    pollfd waiting{complaints.get(), POLLIN, 0};
    if (::poll(&waiting, 1, kProgressMs) == 0) {
      if (progress) progress(step, bytes_below(directory), 0);
      continue;
    }
    char buffer[4096];
    const ssize_t n = ::read(complaints.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return text;
    text.append(buffer, static_cast<size_t>(n));
    if (text.size() > kMaxComplaint) text.erase(0, text.size() - kMaxComplaint);
  }
}

// The message of the last line, which skopeo's logger writes as: level=fatal msg="...".
std::string last_message(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  text.erase(0, text.rfind('\n') + 1);
  static constexpr std::string_view kStart = "msg=\"";
  if (const size_t start = text.find(kStart); start != std::string::npos) {
    std::string message;
    for (size_t i = start + kStart.size(); i < text.size() && text[i] != '"'; ++i) {
      if (text[i] == '\\' && i + 1 < text.size()) ++i;
      message += text[i];
    }
    text = message;
  }
  if (text.size() > kMaxShown) text = text.substr(0, kMaxShown) + "...";
  return text;
}

}  // namespace

Status skopeo_pull(const std::string& registry_name, const std::string& directory,
                   const Progress& progress) {
  const std::string step = "pulling " + registry_name;
  const auto fail = [&](const std::string& why) -> Error {
    return image_error("pull " + registry_name,
                       why +
                           "; an image in a file can be imported: vch image import "
                           "oci:DIR or docker-archive:FILE, then a NAME");
  };
  if (progress) progress(step, 0, 0);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return common::errno_error("pipe");
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  const auto pid = spawn(arguments(registry_name), directory, theirs);
  if (pid.has_error() && pid.error().code.value() == ENOENT) {
    return fail("skopeo is not installed (package skopeo)");
  }
  if (pid.has_error()) return pid.error();
  theirs.reset();
  const std::string complaints = listen(ours, directory, step, progress);
  int status = 0;
  while (::waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  if (WIFSIGNALED(status)) {
    return fail(std::string("skopeo was ended by signal ") + ::strsignal(WTERMSIG(status)));
  }
  return fail(last_message(complaints));
}

}  // namespace vch
