// Requests that start a session.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "protocol/stage.h"
#include "tether/link/control_server_fixture.h"

namespace tether {
namespace {

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

TEST_F(ExecRequestTest, ALoginGetsNothingBesideIt) {
  const auto own = std::make_shared<LoginSessions>();
  ControlClient login(
      server_, [] {}, own);
  const auto errno_of = [&](char id, void (*more)(pb::Exec&)) {
    auto shell = exec(id);
    shell.mutable_exec()->mutable_login();
    more(*shell.mutable_exec());
    login.on_bytes(delimited(shell.SerializeAsString()));
    const auto replies = cut(login.take_output());
    return replies.empty() ? 0 : static_cast<int>(replies[0].reply().failure().errno_value());
  };
  EXPECT_EQ(errno_of('a', [](pb::Exec& exec) { exec.set_privileged(true); }), EPERM);
  EXPECT_EQ(errno_of('b', [](pb::Exec& exec) { exec.set_debug_shell(true); }), EPERM);
  EXPECT_EQ(errno_of('c', [](pb::Exec& exec) { exec.set_detach(true); }), EPERM);
  EXPECT_EQ(errno_of('d', [](pb::Exec& exec) { exec.mutable_archive()->set_path("/"); }), EPERM);
  EXPECT_TRUE(port_.take(LinkType::kLaunch).empty());
  EXPECT_EQ(errno_of('e', [](pb::Exec&) {}), 0) << "the supervisor was asked";
}

TEST_F(ExecRequestTest, ALoginsCommandIsBytesAndIsShownAsText) {
  auto shell = request('y');
  shell.mutable_exec()->mutable_login()->set_command("caf\xe9");
  EXPECT_TRUE(ask(shell).empty());
  const auto sent = port_.take(LinkType::kLaunch);
  ASSERT_EQ(sent.size(), 1U);
  char bytes[4096];
  const ssize_t size = ::pread(sent[0].fd.get(), bytes, sizeof bytes, 0);
  pb::LaunchSpec spec;
  ASSERT_TRUE(spec.ParseFromArray(bytes, static_cast<int>(size)));
  EXPECT_EQ(spec.login().command(), "caf\xe9");
  session(8, 'y');
  EXPECT_EQ(said().at(0).reply().session(), 8U);
  EXPECT_EQ(sessions_.find(8)->argv, std::vector<std::string>{"caf\\xe9"});
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

}  // namespace
}  // namespace tether
