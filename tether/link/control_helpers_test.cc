// Requests that the supervisor, or a helper of its, answers.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "tether/link/control_server_fixture.h"

namespace tether {
namespace {

TEST_F(ExecRequestTest, PausesAreAnsweredByTheSupervisorsState) {
  auto pause = request('x');
  pause.mutable_pause()->set_frozen(true);
  EXPECT_TRUE(ask(pause).empty());
  EXPECT_EQ(port_.take(LinkType::kPause).at(0).header.value, 1U);
  LinkHeader state = answer_to(LinkType::kState, 'o', 0);
  hear(state);
  EXPECT_TRUE(said().empty()) << "another's";
  hear(answer_to(LinkType::kState, 'x', 1));
  EXPECT_FALSE(said().at(0).reply().has_failure());
  auto get = request('i');
  get.mutable_get_info();
  EXPECT_TRUE(ask(get).empty()) << "the supervisor is asked about our memory";
  EXPECT_EQ(port_.take(LinkType::kMeasure).size(), 1U);
  LinkHeader memory = answer_to(LinkType::kMemory, 'i');
  memory.offset = 2345;
  memory.value = 67;
  memory.session = 3;
  hear(memory);
  const auto info = said().at(0).reply().info();
  EXPECT_TRUE(info.paused());
  EXPECT_EQ(info.pss_kib(), 2345U);
  EXPECT_EQ(info.descriptors(), 67U);
  EXPECT_EQ(info.ssh_logins(), 3U);
}

TEST_F(ExecRequestTest, ARestartOfTheLinkIsTheSupervisorsToAnswer) {
  auto restart = request('x');
  restart.mutable_restart_link();
  EXPECT_TRUE(ask(restart).empty());
  EXPECT_EQ(port_.take(LinkType::kRestartLink).size(), 1U);
  hear(answer_to(LinkType::kState, 'x', 0));
  EXPECT_FALSE(said().at(0).reply().has_failure());
  EXPECT_FALSE(ask(restart).at(0).reply().has_failure()) << "the first answer again";
  EXPECT_TRUE(port_.sent.empty());
}

TEST_F(ExecRequestTest, AnUpgradeIsWhatWasUploadedWithItsSignature) {
  auto piece = request('p');
  piece.mutable_upload()->set_upload(std::string(16, 'u'));
  piece.mutable_upload()->set_data("agent");
  EXPECT_FALSE(ask(piece).at(0).reply().has_failure());
  piece.mutable_upload()->set_offset(7);
  EXPECT_EQ(ask(piece).at(0).reply().failure().errno_value(), static_cast<uint32_t>(ESTALE));
  auto upgrade = request('x');
  upgrade.mutable_upgrade()->set_upload(std::string(16, 'u'));
  EXPECT_EQ(ask(upgrade).at(0).reply().failure().errno_value(), static_cast<uint32_t>(EINVAL));
  upgrade = request('y');
  upgrade.mutable_upgrade()->set_upload(std::string(16, 'u'));
  upgrade.mutable_upgrade()->set_signature("sig");
  EXPECT_TRUE(ask(upgrade).empty());
  const auto sent = port_.take(LinkType::kUpgrade);
  ASSERT_EQ(sent.size(), 1U);
  std::array<char, 32> bytes{};
  ASSERT_EQ(::pread(sent[0].fd.get(), bytes.data(), bytes.size(), 0), 12);
  EXPECT_EQ(std::string_view(bytes.data(), 8), "agentsig");
  hear(answer_to(LinkType::kState, 'y', 0));
  EXPECT_FALSE(said().at(0).reply().has_failure());
}

// The successor of a link process: the supervisor may know the request all the same.
TEST_F(ExecRequestTest, AnUpgradeWithoutItsUploadIsTheSupervisorsToAnswer) {
  auto upgrade = request('x');
  upgrade.mutable_upgrade()->set_upload(std::string(16, 'u'));
  upgrade.mutable_upgrade()->set_signature("sig");
  EXPECT_TRUE(ask(upgrade).empty());
  const auto sent = port_.take(LinkType::kUpgrade);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_FALSE(sent[0].fd);
}

TEST_F(ExecRequestTest, AListOfProcessesIsWhatTheHelperWrote) {
  auto list = request('x');
  list.mutable_list_processes();
  EXPECT_TRUE(ask(list).empty());
  auto sent = port_.take(LinkType::kListProcesses);
  pb::Processes written;
  written.add_process()->set_command("sh");
  const std::string bytes = written.SerializeAsString();
  ASSERT_EQ(::write(sent.at(0).fd.get(), bytes.data(), bytes.size()),
            static_cast<ssize_t>(bytes.size()));
  hear(answer_to(LinkType::kProcesses, 'x'));
  EXPECT_EQ(said().at(0).reply().processes().process(0).command(), "sh");
  ask(list);
  hear(answer_to(LinkType::kProcesses, 'x', ETIMEDOUT));
  EXPECT_EQ(said().at(0).reply().failure().errno_value(), static_cast<uint32_t>(ETIMEDOUT));
}

TEST_F(ExecRequestTest, AVolumeIsCheckedAndGoesToAHelperOnce) {
  auto mount = request('m');
  auto& volume = *mount.mutable_mount_volume()->mutable_volume();
  volume.set_path("data");
  volume.mutable_tmpfs();
  EXPECT_EQ(ask(mount).at(0).reply().failure().object(), "volume.path");
  mount = request('n');
  mount.mutable_mount_volume()->mutable_volume()->set_path("/data");
  mount.mutable_mount_volume()->mutable_volume()->mutable_tmpfs();
  EXPECT_TRUE(ask(mount).empty());
  const auto sent = port_.take(LinkType::kVolume);
  ASSERT_EQ(sent.size(), 1U);
  ASSERT_EQ(::lseek(sent[0].fd.get(), 0, SEEK_SET), 0);
  pb::Request handed;
  ASSERT_EQ(::lseek(sent[0].fd.get(), 0, SEEK_SET), 0);
  ASSERT_TRUE(handed.ParseFromFileDescriptor(sent[0].fd.get()));
  EXPECT_EQ(handed.mount_volume().volume().path(), "/data");
  hear(answer_to(LinkType::kUpdated, 'n'));
  EXPECT_FALSE(said().at(0).reply().has_failure());
  EXPECT_FALSE(ask(mount).at(0).reply().has_failure());
  EXPECT_TRUE(port_.take(LinkType::kVolume).empty());
}

TEST_F(ExecRequestTest, NewLimitsGoToAHelperWhichSaysWhatWasWrong) {
  auto update = request('x');
  update.mutable_update()->mutable_resources()->set_pids_max(7);
  EXPECT_TRUE(ask(update).empty());
  auto sent = port_.take(LinkType::kUpdate);
  ASSERT_EQ(sent.size(), 1U);
  pb::Resources handed;
  ASSERT_EQ(::lseek(sent[0].fd.get(), 0, SEEK_SET), 0);
  ASSERT_TRUE(handed.ParseFromFileDescriptor(sent[0].fd.get()));
  EXPECT_EQ(handed.pids_max(), 7U);
  pb::Failure failure;
  failure.set_errno_value(EBUSY);
  failure.set_object("memory");
  failure.set_hint("it holds 80 MiB");
  const std::string bytes = failure.SerializeAsString();
  ASSERT_EQ(::ftruncate(sent[0].fd.get(), 0), 0);
  ASSERT_EQ(::pwrite(sent[0].fd.get(), bytes.data(), bytes.size(), 0),
            static_cast<ssize_t>(bytes.size()));
  hear(answer_to(LinkType::kUpdated, 'x', EBUSY));
  EXPECT_EQ(said().at(0).reply().failure().hint(), "it holds 80 MiB");
  // Once carried out, the same request has the same answer.
  EXPECT_EQ(ask(update).at(0).reply().failure().object(), "memory");
  EXPECT_TRUE(port_.take(LinkType::kUpdate).empty());
}

TEST_F(ExecRequestTest, ARestartPolicyIsCheckedAndToldToTheSupervisor) {
  auto policy = request('p');
  policy.mutable_restart_policy()->set_kind(pb::RestartPolicy::ALWAYS);
  policy.mutable_restart_policy()->set_max_retries(3);
  EXPECT_EQ(ask(policy).at(0).reply().failure().object(), "restart_policy.max_retries");
  policy = request('q');
  policy.mutable_restart_policy()->set_kind(pb::RestartPolicy::ON_FAILURE);
  policy.mutable_restart_policy()->set_max_retries(3);
  EXPECT_TRUE(ask(policy).empty());
  const auto sent = port_.take(LinkType::kRestartPolicy);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].header.value, static_cast<uint32_t>(pb::RestartPolicy::ON_FAILURE));
  EXPECT_EQ(sent[0].header.offset, 3U);
  hear(answer_to(LinkType::kState, 'q'));
  EXPECT_FALSE(said().at(0).reply().has_failure());
  EXPECT_FALSE(ask(policy).at(0).reply().has_failure()) << "once";
  EXPECT_TRUE(port_.take(LinkType::kRestartPolicy).empty());
}

TEST_F(ExecRequestTest, LimitsThatMakeNoSenseAreRefusedByTheirField) {
  auto update = request('x');
  update.mutable_update()->mutable_resources()->set_cpu_weight(10001);
  EXPECT_EQ(ask(update).at(0).reply().failure().object(), "update.resources.cpu_weight");
}

TEST_F(ExecRequestTest, StatsAreAnsweredAtOnce) {
  const common::UniqueFd pids(::memfd_create("pids", MFD_CLOEXEC));
  ASSERT_EQ(::write(pids.get(), "12\n", 3), 3);
  server_.use_stats_file(static_cast<uint32_t>(StatsFile::kPids),
                         common::UniqueFd(::fcntl(pids.get(), F_DUPFD_CLOEXEC, 3)));
  auto stats = request('x');
  stats.mutable_get_stats();
  EXPECT_EQ(ask(stats).at(0).reply().stats().pids(), 12U);
}

TEST_F(ExecRequestTest, WhatIsAskedForAtOnceIsBounded) {
  size_t asked = 0;
  for (; client_.wants_input() && asked < 1000; ++asked) {
    auto wanted = exec('x');
    wanted.mutable_id()->replace(0, sizeof asked, reinterpret_cast<const char*>(&asked),
                                 sizeof asked);
    client_.on_bytes(delimited(wanted.SerializeAsString()));
  }
  EXPECT_EQ(asked, ControlClient::kMaxWaiting);
  hear(answer_to(LinkType::kRefused, 'z', EAGAIN));
  EXPECT_FALSE(client_.wants_input());
}

}  // namespace
}  // namespace tether
