#include "tether/link/control_server.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "protocol/journal.h"
#include "protocol/stage.h"
#include "tether/link/fake_supervisor_port.h"

namespace tether {
namespace {

namespace pb = ::tether::v1;

std::string delimited(const std::string& bytes) {
  std::string out;
  size_t length = bytes.size();
  for (; length > 0x7fU; length >>= 7U) out += static_cast<char>((length & 0x7fU) | 0x80U);
  return out + static_cast<char>(length) + bytes;
}

std::vector<pb::Message> cut(std::string_view bytes) {
  std::vector<pb::Message> out;
  while (!bytes.empty()) {
    size_t length = 0;
    for (size_t shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.front());
      bytes.remove_prefix(1);
      length |= size_t{byte & 0x7fU} << shift;
      if ((byte & 0x80U) == 0) break;
    }
    EXPECT_TRUE(out.emplace_back().ParseFromString(std::string(bytes.substr(0, length))));
    bytes.remove_prefix(length);
  }
  return out;
}

class ControlServerTest : public testing::Test {
 protected:
  void running_primary() {
    LinkHeader header;
    header.type = LinkType::kSession;
    header.session = 1;
    header.value = kSessionPrimary;
    header.offset = 77;
    std::array<common::UniqueFd, 2> rings;
    sessions_.on_message(header, {}, rings);
  }
  void exited(uint32_t code, uint64_t signal) {
    LinkHeader header;
    header.type = LinkType::kExit;
    header.session = 1;
    header.value = code;
    header.offset = signal;
    sessions_.on_message(header, {}, {});
  }
  void event(uint64_t number, std::string_view text = {}) {
    LinkHeader header;
    header.type = LinkType::kEvent;
    header.offset = number;
    header.stream = static_cast<uint32_t>(protocol::EventKind::kStage);
    server_.on_message(header, text);
  }
  static pb::Request request(char id) {
    pb::Request out;
    out.set_id(std::string(16, id));
    return out;
  }
  std::vector<pb::Message> ask(const pb::Request& what) {
    client_.on_bytes(delimited(what.SerializeAsString()));
    return cut(client_.take_output());
  }

  SessionTable sessions_;
  FakeSupervisorPort port_;
  static pb::ContainerVm config() {
    pb::ContainerVm config;
    config.set_id(std::string(64, 'c'));
    auto& primary = *config.mutable_primary();
    primary.add_argv("sh");
    primary.add_env("A=1");
    primary.add_env("B=2");
    primary.set_user("daemon");
    primary.set_working_dir("/srv");
    return config;
  }
  ControlServer server_{sessions_, port_, "1.2.3", config()};
  int wakes_ = 0;
  ControlClient client_{server_, [this] { ++wakes_; }};
};

TEST_F(ControlServerTest, AnswersAPingWithTheRequestsId) {
  auto ping = request('a');
  ping.mutable_ping();
  const auto replies = ask(ping);
  ASSERT_EQ(replies.size(), 1U);
  EXPECT_EQ(replies[0].reply().id(), ping.id());
  EXPECT_FALSE(replies[0].reply().has_failure());
}

class ExecRequestTest : public ControlServerTest {
 protected:
  static pb::Request exec(char id, bool detach = false) {
    pb::Request out = request(id);
    out.mutable_exec()->set_detach(detach);
    out.mutable_exec()->mutable_session()->add_argv("ls");
    return out;
  }
  static LinkHeader answer_to(LinkType type, char id, uint32_t value = 0) {
    LinkHeader header;
    header.type = type;
    header.value = value;
    std::memset(header.writer.data(), id, sizeof header.writer);
    return header;
  }
  void hear(const LinkHeader& header, std::string_view payload = {}) {
    std::array<common::UniqueFd, 2> rings;
    const size_t fds = header.type == LinkType::kSession ? 2 : 0;
    const bool discard = (header.value & kSessionDiscard) != 0;
    sessions_.on_message(header, payload, std::span(rings).first(discard ? 0 : fds));
    server_.on_message(header, payload);
  }
  void session(uint32_t id, char request_id, uint32_t flags = 0) {
    LinkHeader header = answer_to(LinkType::kSession, request_id, flags);
    header.session = id;
    hear(header);
  }
  std::vector<pb::Message> said() { return cut(client_.take_output()); }
};

TEST_F(ExecRequestTest, GoesToTheSupervisorAsASealedSpecification) {
  auto wanted = exec('x');
  auto& session = *wanted.mutable_exec()->mutable_session();
  session.add_env("B=3");
  session.add_env("C=4");
  session.set_tty(true);
  EXPECT_TRUE(ask(wanted).empty()) << "the answer is the supervisor's";
  const auto sent = port_.take(LinkType::kLaunch);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].header.value, kSessionTty | kSessionSealed);
  EXPECT_EQ(sent[0].header.writer[0], 0x7878787878787878U);
  EXPECT_NE(::fcntl(sent[0].fd.get(), F_GET_SEALS) & F_SEAL_WRITE, 0);
  char bytes[4096];
  const ssize_t size = ::pread(sent[0].fd.get(), bytes, sizeof bytes, 0);
  pb::LaunchSpec spec;
  ASSERT_TRUE(spec.ParseFromArray(bytes, static_cast<int>(size)));
  EXPECT_EQ(spec.session().user(), "daemon");
  EXPECT_EQ(spec.session().working_dir(), "/srv");
  const auto& env = spec.session().env();
  EXPECT_EQ(std::vector<std::string>(env.begin(), env.end()),
            (std::vector<std::string>{"A=1", "B=3", "C=4"}));
  EXPECT_EQ(spec.hostname(), "cccccccccccc");
}

TEST_F(ExecRequestTest, IsAnsweredWithTheSessionOrTheReasonWhyThereIsNone) {
  ask(exec('x'));
  ask(exec('y'));
  auto ping = request('p');
  ping.mutable_ping();
  EXPECT_EQ(ask(ping).size(), 1U) << "nobody waits for it";
  hear(answer_to(LinkType::kRefused, 'y', EBUSY), "it is paused");
  session(7, 'x');
  const auto replies = said();
  ASSERT_EQ(replies.size(), 2U);
  EXPECT_EQ(replies[0].reply().id(), std::string(16, 'y'));
  EXPECT_EQ(replies[0].reply().failure().errno_value(), static_cast<uint32_t>(EBUSY));
  EXPECT_EQ(replies[0].reply().failure().hint(), "it is paused");
  EXPECT_EQ(replies[1].reply().session(), 7U);
  EXPECT_EQ(ask(exec('x')).at(0).reply().session(), 7U) << "the first result, at once";
  EXPECT_EQ(port_.take(LinkType::kLaunch).size(), 2U);
}

TEST_F(ExecRequestTest, ALoginAsksForItsKindOfExecAndSignalsItsOwnSessionsAlone) {
  const auto own = std::make_shared<LoginSessions>();
  ControlClient login(
      server_, [] {}, own);
  const auto ask_login = [&](const pb::Request& what) {
    login.on_bytes(delimited(what.SerializeAsString()));
    return cut(login.take_output());
  };
  const auto refused = [&](const pb::Request& what) {
    const auto replies = ask_login(what);
    return replies.size() == 1 && replies[0].reply().failure().errno_value() == EPERM;
  };
  const auto signal = [](char id, uint32_t session) {
    auto out = request(id);
    out.mutable_signal()->set_session(session);
    out.mutable_signal()->set_number(1);
    return out;
  };
  EXPECT_TRUE(refused(exec('x')));
  session(7, 'o');
  EXPECT_TRUE(refused(signal('a', 7)));
  EXPECT_TRUE(refused(signal('b', 0)));
  auto shell = exec('y');
  shell.mutable_exec()->mutable_login();
  EXPECT_TRUE(ask_login(shell).empty());
  session(8, 'y');
  ASSERT_EQ(cut(login.take_output()).at(0).reply().session(), 8U);
  EXPECT_EQ(own->ids, std::set<uint32_t>{8});
  EXPECT_FALSE(refused(signal('c', 8)));
  EXPECT_TRUE(refused(signal('d', 7)));
}

TEST_F(ExecRequestTest, WhatALoginsExecsCameToIsKnownBeforeItsReplyGoes) {
  const auto own = std::make_shared<LoginSessions>();
  ControlClient login(
      server_, [] {}, own);
  const auto request_id = [](char id) {
    LoginSessions::RequestId out{};
    std::memset(out.data(), id, sizeof out);
    return out;
  };
  std::vector<uint32_t> news;
  const auto listen = [&](char id) {
    own->on_news = [&, id] { news.push_back(own->answers.at(request_id(id))); };
    auto shell = exec(id);
    shell.mutable_exec()->mutable_login();
    login.on_bytes(delimited(shell.SerializeAsString()));
  };
  listen('y');
  EXPECT_TRUE(news.empty());
  session(8, 'y');
  listen('z');
  hear(answer_to(LinkType::kRefused, 'z', EAGAIN));
  EXPECT_EQ(news, (std::vector<uint32_t>{8, 0}));
  EXPECT_EQ(own->ids, std::set<uint32_t>{8});
}

TEST_F(ExecRequestTest, ALoginsAnswersAreKeptWithinBounds) {
  const auto own = std::make_shared<LoginSessions>();
  ControlClient login(
      server_, [] {}, own);
  for (uint32_t i = 0; i < 3 * LoginSessions::kMost; ++i) {
    auto asked = exec('y');
    asked.set_id(std::string(12, 'i') + std::string(reinterpret_cast<const char*>(&i), sizeof i));
    login.on_bytes(delimited(asked.SerializeAsString()));
    ASSERT_EQ(cut(login.take_output()).at(0).reply().failure().errno_value(),
              static_cast<uint32_t>(EPERM));
    ASSERT_LE(own->answers.size(), LoginSessions::kMost);
  }
}

TEST_F(ExecRequestTest, TwoClientsWithOneRequestGetOneSession) {
  ControlClient other(server_, [] {});
  ask(exec('x'));
  other.on_bytes(delimited(exec('x').SerializeAsString()));
  {
    ControlClient gone(server_, [] {});
    gone.on_bytes(delimited(exec('x').SerializeAsString()));
  }
  session(7, 'x');
  EXPECT_EQ(said().at(0).reply().session(), 7U);
  EXPECT_EQ(cut(other.take_output()).at(0).reply().session(), 7U);
  EXPECT_EQ(port_.take(LinkType::kLaunch).size(), 1U);
}

TEST_F(ExecRequestTest, ADetachedOneIsAnsweredWhenItRunsOrCannot) {
  ask(exec('x', true));
  ask(exec('y', true));
  EXPECT_EQ(port_.take(LinkType::kLaunch).at(0).header.value, kSessionDiscard | kSessionSealed);
  session(7, 'x', kSessionDiscard);
  session(8, 'y', kSessionDiscard);
  EXPECT_TRUE(said().empty());
  LinkHeader started;
  started.type = LinkType::kEvent;
  started.stream = static_cast<uint32_t>(protocol::EventKind::kSessionStarted);
  started.session = 7;
  started.offset = 1;
  hear(started);
  EXPECT_EQ(said().at(0).reply().session(), 7U);
  LinkHeader failed;
  failed.type = LinkType::kExit;
  failed.session = 8;
  failed.value = 127;
  failed.writer = {static_cast<uint64_t>(protocol::Stage::kFindProgram), ENOENT};
  hear(failed, "nonsense");
  const auto replies = said();
  ASSERT_EQ(replies.size(), 1U);
  EXPECT_EQ(replies[0].reply().failure().stage(),
            static_cast<uint32_t>(protocol::Stage::kFindProgram));
  EXPECT_EQ(replies[0].reply().failure().object(), "nonsense");
}

TEST_F(ExecRequestTest, OneThatMakesNoSenseIsRefusedByItsField) {
  auto wanted = exec('x');
  wanted.mutable_exec()->mutable_session()->add_env("no value");
  auto replies = ask(wanted);
  EXPECT_EQ(replies.at(0).reply().failure().object(), "exec.env[2]");
  wanted = request('y');
  wanted.mutable_exec();
  EXPECT_EQ(ask(wanted).at(0).reply().failure().object(), "exec.argv");
  EXPECT_TRUE(port_.sent.empty());
}

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

TEST_F(ExecRequestTest, AnArchiveEndsWithItsClient) {
  auto wanted = request('x');
  wanted.mutable_exec()->mutable_archive()->set_path("/srv");
  EXPECT_TRUE(ask(wanted).empty());
  EXPECT_EQ(port_.take(LinkType::kLaunch).at(0).header.value, kSessionTransient | kSessionOutside);
}

TEST_F(ExecRequestTest, WhatHasAnotherFilterThanTheAgentsOwnSaysSo) {
  auto wanted = exec('x');
  wanted.mutable_exec()->set_privileged(true);
  EXPECT_TRUE(ask(wanted).empty());
  wanted = exec('y');
  wanted.mutable_exec()->set_debug_shell(true);
  EXPECT_TRUE(ask(wanted).empty());
  const auto sent = port_.take(LinkType::kLaunch);
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(sent[0].header.value, 0U);
  EXPECT_EQ(sent[1].header.value, static_cast<uint32_t>(kSessionApart));
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

TEST_F(ControlServerTest, DescribesTheSessions) {
  running_primary();
  auto get = request('a');
  get.mutable_get_info();
  const auto describe = [&] {
    EXPECT_TRUE(ask(get).empty());
    LinkHeader memory;
    memory.type = LinkType::kMemory;
    memory.writer = port_.take(LinkType::kMeasure).at(0).header.writer;
    server_.on_message(memory, {});
    return cut(client_.take_output()).at(0).reply().info();
  };
  auto info = describe();
  EXPECT_EQ(info.agent_version(), "1.2.3");
  ASSERT_EQ(info.sessions_size(), 1);
  EXPECT_EQ(info.sessions(0).pid(), 77U);
  EXPECT_EQ(info.sessions(0).state(), static_cast<uint32_t>(protocol::SessionState::kRunning));
  exited(137, 9);
  info = describe();
  EXPECT_EQ(info.sessions(0).state(), static_cast<uint32_t>(protocol::SessionState::kExited));
  EXPECT_EQ(info.sessions(0).exit_code(), 137U);
  EXPECT_EQ(info.sessions(0).signal(), 9U);
}

TEST_F(ControlServerTest, ARepeatedMutatingRequestActsOnceAndGivesTheFirstResult) {
  running_primary();
  auto kill = request('k');
  kill.mutable_signal()->set_number(15);
  EXPECT_FALSE(ask(kill).at(0).reply().has_failure());
  exited(0, 0);
  EXPECT_FALSE(ask(kill).at(0).reply().has_failure());
  const auto sent = port_.take(LinkType::kSignal);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].header.session, 1U);
  EXPECT_EQ(sent[0].header.value, 15U);
  auto later = request('l');
  later.mutable_signal()->set_number(15);
  EXPECT_EQ(ask(later).at(0).reply().failure().errno_value(), static_cast<uint32_t>(ESRCH));
}

TEST_F(ControlServerTest, RemembersABoundedNumberOfResults) {
  running_primary();
  for (uint32_t i = 0; i <= ControlServer::kMaxResults; ++i) {
    pb::Request kill;
    std::string id(16, '\0');
    std::memcpy(id.data(), &i, sizeof i);
    kill.set_id(id);
    kill.mutable_signal()->set_number(1);
    server_.answer(kill, &client_);
    if (i == 0 || i == ControlServer::kMaxResults) server_.answer(kill, &client_);
  }
  EXPECT_EQ(port_.take(LinkType::kSignal).size(), ControlServer::kMaxResults + 1);
  pb::Request first;
  first.set_id(std::string(16, '\0'));
  first.mutable_signal()->set_number(1);
  server_.answer(first, &client_);
  EXPECT_EQ(port_.take(LinkType::kSignal).size(), 1U) << "the oldest result is forgotten";
}

TEST_F(ControlServerTest, RefusesByNameWhatCannotBeDone) {
  auto bad = request('a');
  bad.set_id("short");
  bad.mutable_ping();
  EXPECT_EQ(ask(bad).at(0).reply().failure().object(), "request id");
  EXPECT_EQ(ask(request('b')).at(0).reply().failure().errno_value(), static_cast<uint32_t>(ENOSYS));
  auto number = request('c');
  number.mutable_signal()->set_number(65);
  EXPECT_EQ(ask(number).at(0).reply().failure().object(), "signal 65");
  auto nobody = request('d');
  nobody.mutable_signal()->set_number(9);
  nobody.mutable_signal()->set_session(5);
  EXPECT_EQ(ask(nobody).at(0).reply().failure().object(), "session 5");
  EXPECT_TRUE(port_.sent.empty());
}

TEST_F(ControlServerTest, StopGoesToTheSupervisorWithItsGrace) {
  running_primary();
  auto stop = request('s');
  stop.mutable_stop()->set_grace_ms(250);
  EXPECT_FALSE(ask(stop).at(0).reply().has_failure());
  const auto sent = port_.take(LinkType::kStop);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].header.value, 250U);
}

TEST_F(ControlServerTest, ASubscriberGetsHeldEventsFromItsNumberThenNewOnes) {
  for (uint64_t number = 1; number <= 5; ++number) event(number);
  auto subscribe = request('e');
  subscribe.mutable_subscribe()->set_from(4);
  auto messages = ask(subscribe);
  ASSERT_EQ(messages.size(), 3U);
  EXPECT_TRUE(messages[0].has_reply());
  EXPECT_EQ(messages[1].event().number(), 4U);
  EXPECT_EQ(messages[2].event().number(), 5U);
  const int before = wakes_;
  event(6, "bad \xff text");
  EXPECT_GT(wakes_, before);
  messages = cut(client_.take_output());
  ASSERT_EQ(messages.size(), 1U);
  EXPECT_EQ(messages[0].event().number(), 6U);
  EXPECT_EQ(messages[0].event().text(), "bad \\xff text");
}

TEST_F(ControlServerTest, HoldsTheNewestEventsOnly) {
  for (uint64_t number = 1; number <= ControlServer::kMaxEvents + 10; ++number) event(number);
  ASSERT_NE(server_.event_from(0), nullptr);
  EXPECT_EQ(server_.event_from(0)->number(), 11U);
  EXPECT_EQ(server_.event_from(ControlServer::kMaxEvents + 11), nullptr);
}

TEST_F(ControlServerTest, TakesRequestsByteByByte) {
  auto ping = request('a');
  ping.mutable_ping();
  for (const char byte : delimited(ping.SerializeAsString())) {
    EXPECT_TRUE(client_.take_output().empty());
    client_.on_bytes(std::string_view(&byte, 1));
  }
  EXPECT_EQ(cut(client_.take_output()).size(), 1U);
}

TEST_F(ControlServerTest, AnOverlongOrMalformedRequestCondemnsThisClientAlone) {
  client_.on_bytes("\xff\xff\xff\xff\x0f");
  EXPECT_TRUE(client_.bad());
  ControlClient other(server_, [] {});
  other.on_bytes(delimited("\xff\xff\xff"));
  EXPECT_TRUE(other.bad());
  ControlClient third(server_, [] {});
  auto ping = request('a');
  ping.mutable_ping();
  third.on_bytes(delimited(ping.SerializeAsString()));
  EXPECT_FALSE(third.bad());
  EXPECT_EQ(cut(third.take_output()).size(), 1U);
}

TEST_F(ControlServerTest, AClientThatDoesNotReadIsNotServedWithoutBound) {
  auto ping = request('a');
  ping.mutable_ping();
  const std::string bytes = delimited(ping.SerializeAsString());
  int asked = 0;
  for (; client_.wants_input() && asked < 100000; ++asked) client_.on_bytes(bytes);
  EXPECT_FALSE(client_.wants_input());
  client_.on_bytes(bytes);
  const std::string first = client_.take_output();
  EXPECT_LT(first.size(), ControlClient::kMaxQueued + 256);
  EXPECT_EQ(cut(first).size() + cut(client_.take_output()).size(), static_cast<size_t>(asked) + 1);
}

}  // namespace
}  // namespace tether
