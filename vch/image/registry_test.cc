// Pulling, from a real registry on this host and from none.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "vch/image/image_fixture.h"
#include "vch/image/image_store.h"

namespace vch {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr const char* kHint =
    "; an image in a file can be imported: vch image import oci:DIR or docker-archive:FILE, then a "
    "NAME";

bool is_installed(const std::string& program) {
  return ::system(("command -v " + program + " >/dev/null 2>&1").c_str()) == 0;
}

// Debian's docker-registry on a port of its own choice.
class Registry {
 public:
  explicit Registry(const TestDir& dir) {
    write_text(dir / "registry.yml",
               "version: 0.1\nlog: {level: info}\nstorage:\n  filesystem:\n"
               "    rootdirectory: " +
                   dir / "registry\n" + "http: {addr: '127.0.0.1:0'}\n");
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    std::string config = dir / "registry.yml";
    char program[] = "docker-registry";
    char serve[] = "serve";
    char* argv[] = {program, serve, config.data(), nullptr};
    EXPECT_EQ(::posix_spawnp(&pid_, program, &actions, nullptr, argv, environ), 0);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    log_ = ends[0];
    read_port();
  }
  ~Registry() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    ::close(log_);
  }
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;
  const std::string& address() const { return address_; }

 private:
  void read_port() {
    static constexpr std::string_view kSign = "listening on 127.0.0.1:";
    std::string log;
    char c = 0;
    while (::read(log_, &c, 1) == 1) {
      log += c;
      const size_t at = log.find(kSign);
      if (at == std::string::npos) continue;
      const size_t begin = at + kSign.size();
      const size_t end = log.find_first_not_of("0123456789", begin);
      if (end == std::string::npos) continue;
      address_ = "localhost:" + log.substr(begin, end - begin);
      return;
    }
    ADD_FAILURE() << "the registry did not start: " << log;
  }

  pid_t pid_ = -1;
  int log_ = -1;
  std::string address_;
};

class Pull : public testing::Test {
 protected:
  ImageStore store() {
    auto store = ImageStore::open(dir_ / "store");
    EXPECT_FALSE(store.has_error()) << message_of(store);
    return std::move(*store);
  }
  TestDir dir_;
};

TEST_F(Pull, GetsABareNameFromItsRegistry) {
  if (!is_installed("docker-registry") || !is_installed("skopeo")) {
    GTEST_SKIP() << "needs docker-registry and skopeo";
  }
  const Registry registry(dir_);
  const std::string name = registry.address() + "/team/tool:1";
  const std::string layout =
      write_layout(dir_ / "layout", {{file("f", "first")}, {file("g", "second")}});
  output_of("skopeo copy --quiet --dest-tls-verify=false '" + layout + "' docker://" + name);
  std::vector<std::string> steps;
  const auto image = store().resolve(name, [&steps](std::string_view step, uint64_t, uint64_t) {
    if (steps.empty() || steps.back() != step) steps.emplace_back(step);
  });
  ASSERT_FALSE(image.has_error()) << message_of(image);
  EXPECT_EQ(image->name, name);
  EXPECT_EQ(image->config.cmd, std::vector<std::string>{"/bin/sh"});
  EXPECT_EQ(read_disk(image->disk).at("/g").content, "second");
  EXPECT_THAT(steps, ElementsAre("pulling " + name, "checking layers", "writing disk"));
  EXPECT_THAT(list_directory(dir_ / "store/tmp"), IsEmpty());
  // Under another name, without the layers being flattened again.
  const auto imported = store().import("docker://" + name, "mine", {});
  ASSERT_FALSE(imported.has_error()) << message_of(imported);
  EXPECT_EQ(imported->disk, image->disk);
  const std::string missing = registry.address() + "/team/none:latest";
  EXPECT_THAT(message_of(store().resolve(registry.address() + "/team/none", {})),
              testing::AllOf(StartsWith("pull " + missing + ": "), HasSubstr("manifest unknown"),
                             EndsWith(kHint)));
}

TEST_F(Pull, NeedsNoRegistryForWhatTheStoreHas) {
  ASSERT_FALSE(
      store().import(write_layout(dir_ / "l", {{file("f")}}), "localhost:1/x", {}).has_error());
  EXPECT_EQ(message_of(store().resolve("localhost:1/x", {})), "ok");
}

TEST_F(Pull, SaysInOneLineHowToImportWithoutANetwork) {
  if (!is_installed("skopeo")) GTEST_SKIP() << "needs skopeo";
  const std::string message = message_of(store().resolve("localhost:1/x", {}));
  EXPECT_THAT(message, StartsWith("pull localhost:1/x:latest: "));
  EXPECT_THAT(message, HasSubstr("connection refused"));
  EXPECT_THAT(message, EndsWith(kHint));
  EXPECT_THAT(list_directory(dir_ / "store/tmp"), IsEmpty());
}

TEST_F(Pull, NamesThePackageOfAMissingProgram) {
  const std::string path = ::getenv("PATH");
  ::setenv("PATH", dir_.path().c_str(), 1);
  const std::string message = message_of(store().pull("busybox", {}));
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(message, std::string("pull docker.io/library/busybox:latest: skopeo is not installed "
                                 "(package skopeo)") +
                         kHint);
}

}  // namespace
}  // namespace vch
