#include "tether/link/exec_spec.h"

#include <gtest/gtest.h>

#include "protocol/capabilities.h"

namespace tether {
namespace {

using protocol::pb::ContainerVm;
using protocol::pb::Exec;

ContainerVm container() {
  ContainerVm config;
  config.set_id(std::string(64, 'a'));
  auto& primary = *config.mutable_primary();
  primary.add_groups("audio");
  primary.set_oom_score_adj(7);
  primary.add_ulimits()->set_name("core");
  auto& sandbox = *config.mutable_sandbox();
  sandbox.add_capabilities("CAP_CHOWN");
  sandbox.set_no_new_privileges(true);
  sandbox.set_filter("filterof");
  sandbox.add_masked_paths("/proc/version");
  return config;
}

Exec command() {
  Exec exec;
  exec.mutable_session()->add_argv("true");
  return exec;
}

TEST(ExecSpec, HasWhatHoldsForEachProcessOfTheContainer) {
  const auto spec = make_exec_spec(container(), command());
  ASSERT_TRUE(spec.has_value());
  EXPECT_EQ(spec->session().groups(0), "audio");
  EXPECT_EQ(spec->session().oom_score_adj(), 7);
  EXPECT_EQ(spec->session().ulimits(0).name(), "core");
  EXPECT_EQ(spec->sandbox().filter(), "filterof");
  EXPECT_TRUE(spec->sandbox().no_new_privileges());
  EXPECT_EQ(spec->sandbox().masked_paths_size(), 0) << "that was done";
}

TEST(ExecSpec, OfAPrivilegedOneHasEverything) {
  Exec exec = command();
  exec.set_privileged(true);
  const auto spec = make_exec_spec(container(), exec);
  ASSERT_TRUE(spec.has_value());
  EXPECT_EQ(protocol::capabilities_of(spec->sandbox()), protocol::all_capabilities());
  EXPECT_TRUE(spec->sandbox().unconfined());
  EXPECT_TRUE(spec->sandbox().no_new_privileges());
  ContainerVm config = container();
  config.mutable_sandbox()->set_host_cgroup_namespace(true);
  const auto refused = make_exec_spec(config, exec);
  ASSERT_TRUE(refused.has_error());
  EXPECT_EQ(refused.error().object, "exec.privileged");
}

TEST(ExecSpec, OfADebugShellHasNoFilterAndTheContainersCapabilities) {
  Exec exec;
  exec.set_debug_shell(true);
  const auto spec = make_exec_spec(container(), exec);
  ASSERT_TRUE(spec.has_value());
  EXPECT_TRUE(spec->sandbox().unconfined());
  EXPECT_FALSE(spec->sandbox().no_new_privileges());
  EXPECT_EQ(spec->sandbox().capabilities(0), "CAP_CHOWN");
}

TEST(ExecSpec, OfALoginHasWhatTheContainerHasAndNothingBeside) {
  Exec login;
  login.mutable_login();
  login.mutable_session()->set_user("root");
  const auto spec = make_exec_spec(container(), login);
  ASSERT_TRUE(spec.has_value());
  EXPECT_EQ(spec->sandbox().filter(), "filterof");
  EXPECT_EQ(spec->sandbox().capabilities(0), "CAP_CHOWN");
  const auto object = [&](void (*more)(Exec&)) {
    Exec exec = login;
    more(exec);
    const auto refused = make_exec_spec(container(), exec);
    return refused.has_error() ? refused.error().object : "nothing";
  };
  EXPECT_EQ(object([](Exec& exec) { exec.set_privileged(true); }), "exec.privileged");
  EXPECT_EQ(object([](Exec& exec) { exec.set_debug_shell(true); }), "exec.debug_shell");
  EXPECT_EQ(object([](Exec& exec) { exec.set_detach(true); }), "exec.detach");
  EXPECT_EQ(object([](Exec& exec) { exec.mutable_login()->set_command("\xff"); }), "nothing");
  EXPECT_EQ(object([](Exec& exec) { exec.mutable_login()->set_command(std::string("a\0b", 3)); }),
            "exec.login.command");
  EXPECT_EQ(object([](Exec& exec) {
              exec.mutable_login()->set_command("a");
              exec.mutable_login()->set_kind(protocol::pb::Login::SFTP);
            }),
            "exec.login.command");
  EXPECT_EQ(object([](Exec& exec) {
              exec.mutable_login()->set_command("a");
              exec.mutable_session()->add_argv("b");
            }),
            "exec.session.argv");
  EXPECT_EQ(
      object([](Exec& exec) { exec.mutable_login()->set_terminal_modes(std::string(1025, 'm')); }),
      "exec.login.terminal_modes");
  EXPECT_EQ(object([](Exec& exec) { exec.mutable_archive()->set_path("/"); }), "exec.archive");
}

}  // namespace
}  // namespace tether
