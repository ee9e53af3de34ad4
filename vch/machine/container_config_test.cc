#include "vch/machine/container_config.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include "common/io.h"

namespace vch {
namespace {

using testing::TempDir;
using Words = std::vector<std::string>;

const std::string kId(64, 'a');

Words argv_of(const ImageConfig& image, const RunOptions& options) {
  const auto config = make_container_config(image, options, kId);
  if (config.has_error()) return {"error", config.error().message()};
  return {config->primary().argv().begin(), config->primary().argv().end()};
}

Words env_of(const ImageConfig& image, const RunOptions& options) {
  RunOptions with_command = options;
  with_command.arguments = {"x"};
  const auto config = make_container_config(image, with_command, kId);
  if (config.has_error()) return {"error", config.error().message()};
  Words env(config->primary().env().begin(), config->primary().env().end());
  std::erase(env, "HOSTNAME=aaaaaaaaaaaa");
  return env;
}

std::string write_file(const std::string& name, const std::string& content) {
  const std::string path = TempDir() + name;
  EXPECT_TRUE(common::write_file_atomically(path, content).has_value());
  return path;
}

TEST(Command, ComesFromEntrypointAndCmdAsDockerJoinsThem) {
  ImageConfig image;
  image.entrypoint = {"/entry", "-a"};
  image.cmd = {"serve"};
  EXPECT_EQ(argv_of(image, {}), (Words{"/entry", "-a", "serve"}));
  RunOptions arguments;
  arguments.arguments = {"other", "words"};
  EXPECT_EQ(argv_of(image, arguments), (Words{"/entry", "-a", "other", "words"}));
  RunOptions entrypoint;
  entrypoint.entrypoint = "/bin/sh";
  EXPECT_EQ(argv_of(image, entrypoint), (Words{"/bin/sh"}));  // the image's Cmd goes with it
  entrypoint.arguments = {"-c", "true"};
  EXPECT_EQ(argv_of(image, entrypoint), (Words{"/bin/sh", "-c", "true"}));
  entrypoint.entrypoint = "";
  EXPECT_EQ(argv_of(image, entrypoint), (Words{"-c", "true"}));
}

TEST(Command, MissingEverywhereIsRefused) {
  EXPECT_EQ(argv_of({}, {})[1], "no command: the image has none; name one behind the image");
}

TEST(Command, ThatIsNotUtf8IsNamed) {
  RunOptions options;
  options.arguments = {"printf", "\xff"};
  EXPECT_EQ(argv_of({}, options)[1],
            "command '\\xff': Invalid argument (want UTF-8, nothing else is carried)");
}

TEST(Environment, IsTheImagesOverlaidByFilesThenFlags) {
  ImageConfig image;
  image.env = {"A=image", "B=image", "C=image", "D=image"};
  ::setenv("FROM_CALLER", "mine", 1);
  ::unsetenv("NOT_THERE");
  RunOptions options;
  options.env_files = {write_file("env1", "# comment\n\n  B=file\nC=file=2\r\nFROM_CALLER\n")};
  options.env = {"C=flag", "E=", "D", "FROM_CALLER"};
  ::unsetenv("D");
  EXPECT_EQ(env_of(image, options),
            (Words{"A=image", "B=file", "C=flag", "FROM_CALLER=mine", "E="}));
}

TEST(Environment, BadEntriesAreNamedWithTheirPlace) {
  RunOptions options;
  options.env = {"A=\xc3"};
  EXPECT_EQ(env_of({}, options)[1],
            "environment 'A=\\xc3': Invalid argument (want UTF-8, nothing else is carried)");
  options.env = {"=x"};
  EXPECT_EQ(env_of({}, options)[1],
            "environment -e '=x': Invalid argument (no variable name before '=')");
  const std::string path = write_file("env2", "GOOD=1\nBAD KEY=1\n");
  options.env.clear();
  options.env_files = {path};
  EXPECT_EQ(
      env_of({}, options)[1],
      "environment " + path + ":2: Invalid argument (variable 'BAD KEY' contains white space)");
  options.env_files = {"/nonexistent/env"};
  EXPECT_EQ(env_of({}, options)[1], "open /nonexistent/env: No such file or directory");
}

TEST(Environment, OfATerminalSaysWhatItIs) {
  RunOptions options;
  EXPECT_EQ(env_of({}, options), Words{});
  options.tty = true;
  ::setenv("TERM", "vt220", 1);
  EXPECT_EQ(env_of({}, options), Words{"TERM=vt220"});
  ::unsetenv("TERM");
  EXPECT_EQ(env_of({}, options), Words{"TERM=xterm"});
  options.env = {"TERM=dumb"};
  EXPECT_EQ(env_of({}, options), Words{"TERM=dumb"});
}

TEST(Restart, IsDockers) {
  using Policy = tether::v1::RestartPolicy;
  ImageConfig image;
  image.cmd = {"x"};
  const auto restart = [&image](const std::string& text) {
    RunOptions options;
    options.restart = text;
    return make_container_config(image, options, kId);
  };
  EXPECT_FALSE(restart("no")->has_restart());
  EXPECT_EQ(restart("always")->restart().kind(), Policy::ALWAYS);
  EXPECT_EQ(restart("unless-stopped")->restart().kind(), Policy::ALWAYS);
  EXPECT_EQ(restart("on-failure")->restart().kind(), Policy::ON_FAILURE);
  EXPECT_EQ(restart("on-failure")->restart().max_retries(), 0U);
  EXPECT_EQ(restart("on-failure:7")->restart().max_retries(), 7U);
  for (const char* bad : {"yes", "on-failure:", "on-failure:x", "on-failure:-1", "always:2"}) {
    EXPECT_TRUE(restart(bad).has_error()) << bad;
  }
}

TEST(StopTimeout, OfZeroIsNotTheDefault) {
  ImageConfig image;
  image.cmd = {"x"};
  RunOptions options;
  EXPECT_EQ(make_container_config(image, options, kId)->stop_grace_ms(), 0U);
  options.stop_timeout_s = 3;
  EXPECT_EQ(make_container_config(image, options, kId)->stop_grace_ms(), 3000U);
  options.stop_timeout_s = 0;
  EXPECT_EQ(make_container_config(image, options, kId)->stop_grace_ms(), 1U);
}

TEST(LogPolicy, IsBlockOrDrop) {
  ImageConfig image;
  image.cmd = {"x"};
  RunOptions options;
  EXPECT_EQ(make_container_config(image, options, kId)->journal().output_policy(),
            tether::v1::BLOCK);
  options.log_policy = "drop";
  EXPECT_EQ(make_container_config(image, options, kId)->journal().output_policy(),
            tether::v1::DROP);
  options.log_policy = "keep";
  EXPECT_TRUE(make_container_config(image, options, kId).has_error());
}

TEST(Signal, IsTakenByNameOrNumber) {
  EXPECT_EQ(*parse_signal("SIGTERM"), SIGTERM);
  EXPECT_EQ(*parse_signal("usr1"), SIGUSR1);
  EXPECT_EQ(*parse_signal("9"), 9);
  EXPECT_EQ(*parse_signal("RTMIN+3"), SIGRTMIN + 3);
  EXPECT_EQ(*parse_signal("SIGRTMAX-1"), SIGRTMAX - 1);
  for (const char* bad : {"", "0", "65", "SIGNOPE", "RTMIN+99", "RTMAX+1", "1x"}) {
    EXPECT_TRUE(parse_signal(bad).has_error()) << bad;
  }
}

TEST(Size, TakesDockersUnits) {
  EXPECT_EQ(*parse_size("1048576"), 1048576U);
  EXPECT_EQ(*parse_size("64m"), uint64_t{64} << 20U);
  EXPECT_EQ(*parse_size("2GB"), uint64_t{2} << 30U);
  for (const char* bad : {"", "m", "-1m", "1.5g", "10x", "99999999999999t"}) {
    EXPECT_TRUE(parse_size(bad).has_error()) << bad;
  }
}

TEST(Health, FollowsTheImageUnlessOverruled) {
  ImageConfig image;
  image.cmd = {"x"};
  image.healthcheck = ImageHealthcheck{{"CMD-SHELL", "test -e /ok"}, 2000000000, 500000, 0, 4};
  const auto config = make_container_config(image, {}, kId);
  EXPECT_EQ(config->health().argv(2), "test -e /ok");
  EXPECT_EQ(config->health().interval_ms(), 2000U);
  EXPECT_EQ(config->health().timeout_ms(), 1U);  // never 0, which means the default
  EXPECT_EQ(config->health().retries(), 4U);
  RunOptions none;
  none.no_healthcheck = true;
  EXPECT_FALSE(make_container_config(image, none, kId)->has_health());
  image.healthcheck->test = {"NONE"};
  EXPECT_FALSE(make_container_config(image, {}, kId)->has_health());
  RunOptions own;
  own.health_command = "true";
  EXPECT_EQ(make_container_config(image, own, kId)->health().argv(2), "true");
}

TEST(WorkingDirectory, MustBeAbsolute) {
  ImageConfig image;
  image.cmd = {"x"};
  image.working_dir = "/srv";
  EXPECT_EQ(make_container_config(image, {}, kId)->primary().working_dir(), "/srv");
  RunOptions options;
  options.working_dir = "srv";
  EXPECT_EQ(make_container_config(image, options, kId).error().message(),
            "working directory 'srv': Invalid argument (want an absolute path)");
}

TEST(Labels, OverlayTheImages) {
  ImageConfig image;
  image.labels = {{"a", "1"}, {"b", "2"}};
  const std::map<std::string, std::string> want = {{"a", "1"}, {"b", "x=y"}, {"c", ""}};
  EXPECT_EQ(merge_labels(image, {"b=x=y", "c"}), want);
}

}  // namespace
}  // namespace vch
