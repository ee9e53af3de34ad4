#include "tether/boot/device_rules.h"

#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace tether {
namespace {

constexpr uint64_t kAgent = 0x1'0000'0007;
constexpr uint64_t kContainer = 9;
constexpr uint32_t kMake = BPF_DEVCG_ACC_MKNOD;
constexpr uint32_t kRead = BPF_DEVCG_ACC_READ;
constexpr uint32_t kWrite = BPF_DEVCG_ACC_WRITE;
constexpr uint32_t kChar = BPF_DEVCG_DEV_CHAR;
constexpr uint32_t kBlock = BPF_DEVCG_DEV_BLOCK;

// What the kernel makes of a program, for the instructions that ours are made of.
uint64_t run(const std::vector<bpf_insn>& program, uint64_t group, bpf_cgroup_dev_ctx context) {
  std::array<uint64_t, 11> registers{};
  registers[BPF_REG_1] = 1;  // the context, by a name that nothing else has
  for (size_t i = 0; i < program.size(); ++i) {
    const bpf_insn& at = program[i];
    uint64_t& target = registers.at(at.dst_reg);
    const auto low = static_cast<uint32_t>(target);
    const auto value = static_cast<uint32_t>(at.imm);
    bool taken = false;
    switch (at.code) {
      case BPF_ALU64 | BPF_MOV | BPF_X:
        target = registers.at(at.src_reg);
        break;
      case BPF_ALU64 | BPF_MOV | BPF_K:
        target = value;
        break;
      case BPF_ALU64 | BPF_AND | BPF_K:
        target &= value;
        break;
      case BPF_JMP | BPF_CALL:
        EXPECT_EQ(at.imm, BPF_FUNC_get_current_cgroup_id);
        registers[BPF_REG_0] = group;
        break;
      case BPF_LD | BPF_DW | BPF_IMM:
        target = value | uint64_t{static_cast<uint32_t>(program.at(++i).imm)} << 32U;
        break;
      case BPF_LDX | BPF_MEM | BPF_W: {
        EXPECT_EQ(registers.at(at.src_reg), 1U);
        uint32_t word = 0;
        std::memcpy(&word, reinterpret_cast<const char*>(&context) + at.off, sizeof word);
        target = word;
        break;
      }
      case BPF_JMP | BPF_JNE | BPF_X:
        taken = target != registers.at(at.src_reg);
        break;
      case BPF_JMP32 | BPF_JNE | BPF_K:
        taken = low != value;
        break;
      case BPF_JMP32 | BPF_JEQ | BPF_K:
        taken = low == value;
        break;
      case BPF_JMP32 | BPF_JLT | BPF_K:
        taken = low < value;
        break;
      case BPF_JMP32 | BPF_JGT | BPF_K:
        taken = low > value;
        break;
      case BPF_JMP32 | BPF_JSET | BPF_K:
        taken = (low & value) != 0;
        break;
      case BPF_JMP | BPF_EXIT:
        return registers[BPF_REG_0];
      default:
        ADD_FAILURE() << "instruction " << i << " is " << int{at.code};
        return 2;
    }
    if (taken) i += static_cast<size_t>(at.off);
  }
  ADD_FAILURE() << "the program has no end";
  return 2;
}

class Rules : public testing::Test {
 protected:
  bool allows(uint32_t access, uint32_t kind, uint32_t major, uint32_t minor,
              uint64_t group = kContainer) {
    return run(program_, group, {access << 16U | kind, major, minor}) == 1;
  }
  std::vector<bpf_insn> program_;
};

TEST_F(Rules, AllowedAreRangesAndEveryNodeMayBeMade) {
  const DeviceRange ranges[] = {{1, 3, 3}, {1, 7, 9}, {136}};
  program_ = device_program(kAgent, ranges, false);
  EXPECT_TRUE(allows(kRead | kWrite, kChar, 1, 3));
  EXPECT_TRUE(allows(kRead, kChar, 1, 8));
  EXPECT_TRUE(allows(kRead | kMake, kChar, 136, 77));
  EXPECT_TRUE(allows(kMake, kChar, 250, 1));
  EXPECT_TRUE(allows(kMake, kBlock, 254, 0));
  EXPECT_FALSE(allows(kRead, kChar, 1, 4));
  EXPECT_FALSE(allows(kRead, kChar, 1, 6));
  EXPECT_FALSE(allows(kRead, kChar, 1, 10));
  EXPECT_FALSE(allows(kWrite, kChar, 250, 1));
  EXPECT_FALSE(allows(kRead, kBlock, 1, 3));
  EXPECT_FALSE(allows(kRead | kMake, kBlock, 254, 0));
}

TEST_F(Rules, DeniedRangesAreNeitherMadeNorOpened) {
  const DeviceRange ranges[] = {{4, 64, 255}, {250}};
  program_ = device_program(kAgent, ranges, true);
  EXPECT_FALSE(allows(kMake, kChar, 250, 1));
  EXPECT_FALSE(allows(kRead, kChar, 250, 0));
  EXPECT_FALSE(allows(kWrite, kChar, 4, 64));
  EXPECT_TRUE(allows(kWrite, kChar, 4, 63));
  EXPECT_TRUE(allows(kRead, kBlock, 250, 1));
  EXPECT_TRUE(allows(kRead | kWrite, kChar, 10, 200));
}

TEST_F(Rules, SeveralMajorsInARow) {
  const DeviceRange ranges[] = {{234, 0, UINT32_MAX, 251}, {253, 2, 3, 254}};
  program_ = device_program(kAgent, ranges, true);
  for (const uint32_t major : {234U, 240U, 251U}) EXPECT_FALSE(allows(kRead, kChar, major, 9));
  for (const uint32_t major : {233U, 252U, 255U}) EXPECT_TRUE(allows(kRead, kChar, major, 9));
  EXPECT_FALSE(allows(kMake, kChar, 254, 3));
  EXPECT_TRUE(allows(kMake, kChar, 254, 4));
}

TEST(AgentDevices, AreItsDriversAndNumbersThatAnyDriverMayGet) {
  const auto ranges = agent_devices_of(
      "Character devices:\n  1 mem\n  4 ttyS\n  5 /dev/console\n 10 misc\n250 virtio-portsdev\n"
      "251 watchdog\n252 bsg\n254 rtc\n400 new\n\nBlock devices:\n253 virtblk\n384 blkext\n");
  const auto denied = [&](uint32_t major, uint32_t minor) {
    return std::any_of(ranges.begin(), ranges.end(),
                       [&](const DeviceRange& one) { return one.holds(major, minor); });
  };
  EXPECT_TRUE(denied(4, 64) && denied(4, 255) && denied(5, 1) && denied(10, 130) && denied(229, 0));
  EXPECT_TRUE(denied(250, 1) && denied(251, 0));
  EXPECT_TRUE(denied(234, 0) && denied(249, 7) && denied(253, 0) && denied(384, 0) &&
              denied(399, 0) && denied(511, 0));
  EXPECT_FALSE(denied(252, 0) || denied(254, 0) || denied(400, 1) || denied(233, 0) ||
               denied(255, 0) || denied(383, 0) || denied(512, 0));
  EXPECT_FALSE(denied(1, 3) || denied(5, 0) || denied(5, 2) || denied(10, 229) || denied(136, 0));
}

TEST_F(Rules, TheAgentMayEverything) {
  const DeviceRange usual[] = {{1, 3, 3}};
  const DeviceRange own[] = {{250}};
  for (const bool deny : {false, true}) {
    program_ = device_program(kAgent, deny ? own : usual, deny);
    EXPECT_TRUE(allows(kRead | kWrite, kChar, 250, 1, kAgent));
    EXPECT_TRUE(allows(kRead | kWrite, kBlock, 254, 1, kAgent));
    EXPECT_FALSE(allows(kRead, kChar, 250, 1, kAgent & 0xffffffff)) << "half of an id is no id";
  }
}

}  // namespace
}  // namespace tether
