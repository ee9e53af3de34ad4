#include "vch/machine/doctor.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "vch/machine/fake_kvm_probe.h"
#include "vch/machine/state_fixture.h"

namespace vch {
namespace {

using testing::HasSubstr;
using Level = Finding::Level;

class Doctor : public StateTest {
 protected:
  Finding finding(const std::string& subject, const std::string& about = "") {
    for (const auto& found : examine_host(state_, iso_, scratch_, host_)) {
      if (found.subject == subject && found.text.find(about) != std::string::npos) return found;
    }
    ADD_FAILURE() << "nothing about " << subject << " " << about;
    return {};
  }
  FakeKvmProbe host_;
};

TEST_F(Doctor, FindsAGoodHostGood) {
  std::filesystem::create_directory(scratch_ + "/dev");
  make_file("dev/vhost-vsock", 0);
  for (const auto& found : examine_host(state_, iso_, scratch_, host_)) {
    EXPECT_NE(found.level, Level::kBad) << found.subject << ": " << found.text;
    EXPECT_EQ(found.level == Level::kGood, found.advice.empty()) << found.subject;
    EXPECT_EQ(found.text.find('\n'), std::string::npos) << found.text;
  }
  EXPECT_EQ(finding("accelerator").level, Level::kGood);
  EXPECT_EQ(finding("vsock links").level, Level::kGood);
  EXPECT_THAT(finding("programs", "mke2fs").text, HasSubstr("1."));
  EXPECT_THAT(finding("programs", "qemu").text, HasSubstr("version"));
}

TEST_F(Doctor, TellsThreeReasonsAgainstKvmApart) {
  host_.works = false;
  EXPECT_EQ(finding("accelerator").level, Level::kWarning);
  EXPECT_EQ(finding("accelerator").text, "TCG, slower: probe guest: did not report within 3 s");
  EXPECT_THAT(finding("accelerator").advice, HasSubstr("nested"));
  host_.device_error = EACCES;
  EXPECT_THAT(finding("accelerator").advice, HasSubstr("usermod -aG kvm"));
  host_.device_error = ENOENT;
  EXPECT_THAT(finding("accelerator").advice, HasSubstr("modprobe"));
}

TEST_F(Doctor, ProbesAnew) {
  finding("accelerator");
  finding("accelerator");
  EXPECT_EQ(host_.runs, 2);
}

TEST_F(Doctor, NamesThePackageOfAMissingProgram) {
  const std::string before = ::getenv("PATH");
  ::setenv("PATH", "/nowhere", 1);
  const auto qemu = finding("programs", "qemu-system-x86_64");
  const auto skopeo = finding("programs", "skopeo");
  ::setenv("PATH", before.c_str(), 1);
  EXPECT_EQ(qemu.level, Level::kBad);
  EXPECT_EQ(qemu.text, "qemu-system-x86_64 is missing: it runs the machines");
  EXPECT_THAT(qemu.advice, HasSubstr("install the package qemu-system-x86"));
  EXPECT_EQ(skopeo.level, Level::kWarning);
}

TEST_F(Doctor, SaysWhereTheIsoWasLookedFor) {
  iso_ = scratch_ + "/no.iso";
  const auto iso = finding("bootstrap ISO");
  EXPECT_EQ(iso.level, Level::kBad);
  EXPECT_EQ(iso.text, scratch_ + "/no.iso: No such file or directory");
  EXPECT_THAT(iso.advice, HasSubstr("scripts/run --build-only"));
}

TEST_F(Doctor, SaysWhatCarriesVsockLinksAndThatNothingElseNeedsIt) {
  const std::string path = ::getenv("PATH");
  const char* cache = ::getenv("XDG_CACHE_HOME");
  const std::string before = cache == nullptr ? "" : cache;
  ::setenv("PATH", "/nowhere", 1);
  ::setenv("XDG_CACHE_HOME", scratch_.c_str(), 1);
  const auto none = finding("vsock links");
  const std::string tools = scratch_ + "/tether/tools/bin";
  std::filesystem::create_directories(tools);
  ASSERT_EQ(::chmod(make_file("tether/tools/bin/vhost-device-vsock", 0).c_str(), 0755), 0);
  const auto program = finding("vsock links");
  ::setenv("PATH", path.c_str(), 1);
  ::setenv("XDG_CACHE_HOME", before.c_str(), 1);
  EXPECT_EQ(none.level, Level::kWarning);
  EXPECT_THAT(none.text, HasSubstr("no program vhost-device-vsock"));
  EXPECT_THAT(none.advice, HasSubstr("nothing else needs it; `scripts/setup run`"));
  EXPECT_EQ(program.level, Level::kGood);
  EXPECT_THAT(program.text, HasSubstr(tools));
}

TEST_F(Doctor, WarnsOfAStateDirectoryThatOthersCanRead) {
  EXPECT_EQ(finding("permissions").level, Level::kGood);
  ASSERT_EQ(::chmod(state_.root.c_str(), 0755), 0);
  const auto permissions = finding("permissions");
  EXPECT_EQ(permissions.level, Level::kWarning);
  EXPECT_EQ(permissions.advice, "chmod 700 " + state_.root);
}

TEST_F(Doctor, TellsOfAStateDirectoryThatIsGone) {
  state_.root = scratch_ + "/gone";
  EXPECT_EQ(finding("permissions").level, Level::kBad);
  EXPECT_EQ(finding("disk space").level, Level::kBad);
}

}  // namespace
}  // namespace vch
