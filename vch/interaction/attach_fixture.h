// For tests of what goes through a shim: a fake machine, its agent, and somebody attached.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "protocol/journal.h"
#include "vch/interaction/attach.h"
#include "vch/interaction/fake_agent.h"

namespace vch {

using common::UniqueFd;

inline std::string text(size_t size, unsigned seed) {
  std::string out(size, '\0');
  uint64_t x = 88172645463325252U + seed;
  for (char& c : out) {
    x ^= x << 13U;
    x ^= x >> 7U;
    x ^= x << 17U;
    c = static_cast<char>(x);
  }
  return out;
}

inline UniqueFd memory_file(const std::string& content = "") {
  UniqueFd fd(::memfd_create("test", MFD_CLOEXEC));
  EXPECT_TRUE(common::write_all(fd.get(), content, "memfd").has_value());
  ::lseek(fd.get(), 0, SEEK_SET);
  return fd;
}

inline std::string content_of(const UniqueFd& fd) {
  std::string out(static_cast<size_t>(::lseek(fd.get(), 0, SEEK_END)), '\0');
  EXPECT_EQ(::pread(fd.get(), out.data(), out.size(), 0), static_cast<ssize_t>(out.size()));
  return out;
}

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
  UniqueFd read, write;
};

class AttachTest : public testing::Test {
 protected:
  void TearDown() override { expect_no_faults(); }
  void expect_no_faults() {
    if (!std::exchange(booted_, false)) return;
    EXPECT_EQ(agent_.faults(), std::vector<std::string>{});
  }
  void boot() {
    agent_.boot();
    booted_ = true;
  }
  void end_machine() {
    expect_no_faults();
    agent_.halt();
    machine_.end();
  }
  AttachOptions options(int input = -1) const {
    AttachOptions options;
    options.input = input;
    options.output = out_.get();
    options.error = err_.get();
    options.forward_signals = false;
    return options;
  }
  AttachEnd attach_with(const AttachOptions& options) {
    const auto end = attach(machine_.container, program_, options);
    if (end.has_value()) return *end;
    ADD_FAILURE() << end.error().message();
    return {};
  }
  void echo() {
    agent_.session.on_input = [this](std::string_view bytes) {
      agent_.session.output[0] += bytes;
      if (bytes.empty()) agent_.session.finish(0);
    };
  }
  // This program again, attached by a process of its own.
  pid_t start_client(int input, int output, int error, const char* how = "attach") {
    const pid_t child = ::fork();
    if (child != 0) return child;
    ::dup2(input, 0);
    ::dup2(output, 1);
    ::dup2(error, 2);
    ::execl(program_.c_str(), program_.c_str(), how, machine_.container.directory.c_str(), nullptr);
    ::_exit(99);
  }
  static int exit_code_of(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  void write_journal(const std::vector<protocol::JournalRecord>& records) {
    std::string bytes;
    for (const auto& record : records) {
      std::array<char, 64 * 1024> buffer;
      bytes.append(buffer.data(), protocol::encode_record(record, buffer.data(), buffer.size()));
    }
    ASSERT_TRUE(
        common::write_file_atomically(machine_.container.file("journal"), bytes).has_value());
  }

  FakeMachine machine_;
  FakeAgent agent_{machine_};
  bool booted_ = false;
  std::string program_ = this_program();
  UniqueFd out_ = memory_file(), err_ = memory_file();
};

}  // namespace vch
