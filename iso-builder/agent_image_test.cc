#include "iso-builder/agent_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "iso-builder/test_images.h"

namespace iso_builder {
namespace {

using ::testing::HasSubstr;

std::string refusal(const std::string& bytes) {
  const auto status = check_agent_image(bytes, "/a");
  return status.has_error() ? status.error().message() : "accepted";
}

TEST(AgentImage, AStaticProgramIsAccepted) { EXPECT_EQ(refusal(small_agent()), "accepted"); }

TEST(AgentImage, ADynamicProgramIsRefusedByItsLoader) {
  EXPECT_THAT(refusal(small_agent("/lib64/ld-linux-x86-64.so.2")),
              HasSubstr("agent /a: needs the dynamic loader /lib64/ld-linux-x86-64.so.2, "));
}

TEST(AgentImage, WhatIsNoProgramForTheMachineIsRefused) {
  EXPECT_EQ(refusal("#!/bin/sh\n"), "agent /a: is not an ELF program");
  EXPECT_EQ(refusal(""), "agent /a: is not an ELF program");
  std::string other = small_agent();
  put_at<uint16_t>(other, offsetof(Elf64_Ehdr, e_machine), EM_AARCH64);
  EXPECT_THAT(refusal(other), HasSubstr("not a program for x86-64 (ELF machine 183)"));
  std::string object = small_agent();
  put_at<uint16_t>(object, offsetof(Elf64_Ehdr, e_type), ET_REL);
  EXPECT_THAT(refusal(object), HasSubstr("not an executable (ELF type 1)"));
  std::string empty = small_agent();
  put_at<uint16_t>(empty, offsetof(Elf64_Ehdr, e_phnum), 0);
  EXPECT_THAT(refusal(empty), HasSubstr("nothing to load"));
}

TEST(AgentImage, HeadersThatPointBeyondTheEndAreRefused) {
  std::string agent = small_agent();
  agent.resize(sizeof(Elf64_Ehdr) + 8);
  EXPECT_THAT(refusal(agent), HasSubstr("cut short: program header 0"));
  std::string far = small_agent();
  put_at<uint64_t>(far, offsetof(Elf64_Ehdr, e_phoff), ~uint64_t{0} - 8);
  EXPECT_THAT(refusal(far), HasSubstr("cut short"));
  std::string large = small_agent();
  put_at<uint64_t>(large, sizeof(Elf64_Ehdr) + offsetof(Elf64_Phdr, p_filesz), ~uint64_t{0});
  EXPECT_THAT(refusal(large), HasSubstr("cut short"));
}

}  // namespace
}  // namespace iso_builder
