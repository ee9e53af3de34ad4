#include "vch/machine/accelerator.h"

#include "vch/machine/fake_kvm_probe.h"
#include "vch/machine/state_fixture.h"

namespace vch {
namespace {

class Accelerator : public StateTest {
 protected:
  AcceleratorChoice choose(const std::string& wanted) {
    return want(choose_accelerator(wanted, state_, host_));
  }
  FakeKvmProbe host_;
};

TEST_F(Accelerator, IsKvmOnceTheProbeGuestHasReported) {
  const auto choice = choose("auto");
  EXPECT_TRUE(choice.kvm);
  EXPECT_EQ(choice.note, "");
  EXPECT_EQ(host_.runs, 1);
}

TEST_F(Accelerator, IsProbedOnceForEachBootOfTheHost) {
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(choose("auto").kvm);
  EXPECT_EQ(host_.runs, 1);
  host_.boot = "boot-2";
  EXPECT_TRUE(choose("auto").kvm);
  EXPECT_EQ(host_.runs, 2);
}

TEST_F(Accelerator, FallsBackToTcgAndSaysSoOnce) {
  host_.works = false;
  const auto first = choose("auto");
  EXPECT_FALSE(first.kvm);
  EXPECT_EQ(
      first.note,
      "KVM does not work here (probe guest: did not report within 3 s), using the slower TCG; "
      "said once for each boot of the host");
  const auto second = choose("auto");
  EXPECT_FALSE(second.kvm);
  EXPECT_EQ(second.note, "");
  EXPECT_EQ(host_.runs, 1);
}

TEST_F(Accelerator, IsNotProbedWhereTheDeviceCannotBeUsed) {
  host_.device_error = EACCES;
  EXPECT_NE(choose("auto").note.find("open /dev/kvm: Permission denied"), std::string::npos);
  EXPECT_EQ(choose("auto").note, "");
  EXPECT_EQ(host_.runs, 0);
  host_.device_error = 0;  // Rights were given within the same boot.
  EXPECT_TRUE(choose("auto").kvm);
  EXPECT_EQ(host_.runs, 1);
  host_.device_error = ENOENT;  // And a memory of KVM does not bring the device back.
  EXPECT_FALSE(choose("auto").kvm);
}

TEST_F(Accelerator, KvmThatIsInsistedOnIsTriedAgainAndAnErrorWhenItDoesNotWork) {
  host_.works = false;
  EXPECT_FALSE(choose("auto").kvm);
  EXPECT_EQ(
      error_of(choose_accelerator("kvm", state_, host_)),
      "KVM does not work here: probe guest: did not report within 3 s; `vch doctor` says more, "
      "--accel tcg does without");
  EXPECT_EQ(host_.runs, 2);
  host_.works = true;
  EXPECT_TRUE(choose("kvm").kvm);
  EXPECT_TRUE(choose("auto").kvm);
  EXPECT_EQ(host_.runs, 3);
}

TEST_F(Accelerator, TcgAsksNothing) {
  host_.qemu = false;
  EXPECT_FALSE(choose("tcg").kvm);
  EXPECT_EQ(host_.runs, 0);
}

TEST_F(Accelerator, OfAnotherNameIsRefused) {
  EXPECT_EQ(error_of(choose_accelerator("hvf", state_, host_)),
            "accelerator 'hvf': Invalid argument (want auto, kvm or tcg)");
}

TEST_F(Accelerator, NeedsQemu) {
  host_.qemu = false;
  EXPECT_FALSE(choose_accelerator("auto", state_, host_).has_value());
}

TEST_F(Accelerator, SurvivesADamagedMemory) {
  for (const char* text :
       {"", "{", "[]", "{\"stamp\":1}", "{\"stamp\":\"boot-1\",\"kvm\":\"x\"}"}) {
    ASSERT_TRUE(
        common::write_file_atomically(state_.host() + "/accelerator.json", text).has_value());
    EXPECT_TRUE(choose("auto").kvm);
  }
  EXPECT_EQ(host_.runs, 5);
}

// The guest itself, with the real QEMU: whatever the host's KVM is worth, TCG runs it.
TEST_F(Accelerator, ProbeGuestReportsUnderTcg) {
  HostKvmProbe probe(state_);
  EXPECT_EQ(error_of(probe.run_guest("tcg", "max")), "no error");
}

TEST_F(Accelerator, ProbeSaysWhyQemuDidNotRunTheGuest) {
  HostKvmProbe probe(state_);
  EXPECT_NE(error_of(probe.run_guest("nonsense", "max")).find("nonsense"), std::string::npos);
  for (const auto& entry : std::filesystem::directory_iterator(state_.host())) {
    ADD_FAILURE() << entry.path() << " is left behind";
  }
}

TEST_F(Accelerator, HostsDeviceIsLookedFor) {
  HostKvmProbe probe(state_, scratch_);
  EXPECT_EQ(error_of(probe.device()), "open " + scratch_ + "/dev/kvm: No such file or directory");
  EXPECT_NE(want(HostKvmProbe(state_).stamp()).find("qemu-system-x86_64"), std::string::npos);
}

}  // namespace
}  // namespace vch
