#include "vch/machine/qemu_command.h"

#include <gmock/gmock.h>

namespace vch {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

ContainerSpec spec() {
  ContainerSpec spec;
  spec.name = "web";
  spec.iso = "/usr/share/tether/bootstrap.iso";
  spec.memory = uint64_t{256} << 20U;
  spec.cpus = 2;
  return spec;
}

VolumeMount mount(const char* volume, const char* path, const char* serial) {
  VolumeMount out;
  out.volume = volume;
  out.path = path;
  out.serial = serial;
  return out;
}

// Each flag with its value, as "-flag value".
std::vector<std::string> pairs(const ContainerSpec& spec, const QemuInputs& inputs) {
  const auto words = qemu_command(spec, inputs);
  std::vector<std::string> out = {words[0]};
  for (size_t i = 1; i < words.size(); ++i) {
    if (words[i].starts_with("-")) {
      out.push_back(words[i]);
    } else {
      out.back() += " " + words[i];
    }
  }
  return out;
}

TEST(QemuCommand, GivesTheMachineWhatItWasAskedFor) {
  const auto words =
      pairs(spec(), {.program = "/usr/bin/qemu", .qmp_socket = 7, .volume_disks = {}});
  EXPECT_EQ(words[0], "/usr/bin/qemu");
  EXPECT_THAT(words, Contains("-m size=262144k"));
  EXPECT_THAT(words, Contains("-smp cpus=2"));
  EXPECT_THAT(words, Contains("-accel tcg,thread=multi,tb-size=256"));
  EXPECT_THAT(words, Contains("-cpu max,-erms"));
  EXPECT_THAT(words, Contains("-nodefaults"));
  EXPECT_THAT(words, Contains("-no-reboot"));
  EXPECT_THAT(words, Contains("-nic none"));
  EXPECT_THAT(words, Contains(HasSubstr("fd=7")));
  EXPECT_THAT(words, Contains("-fw_cfg name=opt/org.tether/config,file=config.pb"));
  EXPECT_THAT(words, Contains(HasSubstr("-sandbox on")));
}

TEST(QemuCommand, NoticesPanicsAndHangs) {
  const auto words = pairs(spec(), {.program = "q", .volume_disks = {}});
  EXPECT_THAT(words, Contains("-action panic=exit-failure,shutdown=poweroff,watchdog=inject-nmi"));
  EXPECT_THAT(words, Contains(HasSubstr("-device pvpanic-pci")));
  EXPECT_THAT(words, Contains(HasSubstr("-device i6300esb")));
}

TEST(QemuCommand, IsReadyForMoreThanItStartsWith) {
  ContainerSpec growing = spec();
  growing.memory_top = uint64_t{1} << 30U;
  growing.cpus_top = 8;
  auto words = pairs(growing, {.program = "q", .volume_disks = {}});
  EXPECT_THAT(words, Contains("-m size=262144k,maxmem=1048576k"));
  EXPECT_THAT(words, Contains("-smp cpus=2,maxcpus=8"));
  EXPECT_THAT(words,
              Contains("-object memory-backend-ram,id=spare-memory,reserve=off,size=786432k"));
  EXPECT_THAT(words,
              Contains("-device virtio-mem-pci,id=spare,memdev=spare-memory,requested-size=0"));
  growing.link = "vsock";
  words = pairs(growing, {.program = "q", .vsock = 9, .volume_disks = {}});
  EXPECT_THAT(words, Contains(HasSubstr("memory-backend-memfd,share=on,id=spare-memory")));
}

TEST(QemuCommand, UsesTheHostsProcessorUnderKvm) {
  const auto words = pairs(spec(), {.program = "q", .kvm = true, .volume_disks = {}});
  EXPECT_THAT(words, Contains("-accel kvm"));
  EXPECT_THAT(words, Contains("-cpu host"));
}

TEST(QemuCommand, NeverWritesToWhatIsReadOnly) {
  ContainerSpec with_volumes = spec();
  with_volumes.volumes = {mount("a", "/a", "vol0"), mount("", "/tmp", ""),
                          mount("b", "/b", "vol1")};
  with_volumes.volumes[0].read_only = true;
  const auto words = pairs(
      with_volumes, {.program = "q", .volume_disks = {"/v/a,b/disk.ext4", "", "/v/b/disk.ext4"}});
  EXPECT_THAT(words, Contains(AllOf(HasSubstr("id=image,"), HasSubstr("readonly=on"))));
  EXPECT_THAT(words,
              Contains(AllOf(HasSubstr("file=/v/a,,b/disk.ext4"), HasSubstr("readonly=on"))));
  EXPECT_THAT(words, Contains(AllOf(HasSubstr("file=/v/b/disk.ext4"), HasSubstr("discard=unmap"),
                                    Not(HasSubstr("readonly")))));
  EXPECT_THAT(words, Contains(AllOf(HasSubstr("serial=vol0"), HasSubstr("addr=10.0"))));
  EXPECT_THAT(words, Contains(AllOf(HasSubstr("serial=vol1"), HasSubstr("addr=10.1"))));
}

TEST(QemuCommand, HasTheDisksThatItsRootIsMadeOf) {
  ContainerSpec root = spec();
  root.root_format = "erofs";
  root.root_layer = "tmpfs";
  auto words = pairs(root, {.program = "q", .volume_disks = {}});
  EXPECT_THAT(words, Contains(AllOf(HasSubstr("file=image.erofs"), HasSubstr("readonly=on"))));
  EXPECT_THAT(words, Not(Contains(HasSubstr("writable"))));
  root.root_format = "ext4";
  root.root_layer = "direct";
  words = pairs(root, {.program = "q", .volume_disks = {}});
  EXPECT_THAT(words, Contains(AllOf(HasSubstr("file=image.ext4"), Not(HasSubstr("readonly")))));
}

TEST(QemuCommand, NeverTruncatesJournalOrConsole) {
  const auto words = pairs(spec(), {.program = "q", .volume_disks = {}});
  EXPECT_THAT(words, Contains("-chardev file,id=journal,path=journal,append=on"));
  EXPECT_THAT(words, Contains("-chardev file,id=console,path=console.log,append=on"));
  EXPECT_THAT(words, Contains(HasSubstr("name=org.tether.journal.0")));
  EXPECT_THAT(words, Contains(HasSubstr("name=org.tether.link.0")));
}

TEST(QemuCommand, HasAUartOnTheSocketThatItIsGiven) {
  ContainerSpec by_tcp = spec();
  by_tcp.link = "uart-tcp";
  const auto words = pairs(by_tcp, {.program = "q", .link_socket = 9, .volume_disks = {}});
  EXPECT_THAT(words, Contains("-chardev socket,id=link,fd=9,server=on,wait=off"));
  EXPECT_THAT(words, Contains("-serial chardev:link"));
}

TEST(QemuCommand, HasAVsocketOfTheKernelsUnderItsAddress) {
  ContainerSpec by_vsock = spec();
  by_vsock.link = "vsock";
  const auto words =
      pairs(by_vsock, {.program = "q", .vsock = 9, .vsock_cid = 4711, .volume_disks = {}});
  EXPECT_THAT(words, Contains("-device vhost-vsock-pci,guest-cid=4711,vhostfd=9"));
  EXPECT_THAT(words, Not(Contains(HasSubstr("id=link"))));
  EXPECT_THAT(words, Not(Contains(HasSubstr("memory-backend"))));
}

TEST(QemuCommand, SharesItsMemoryWithAVsocketInAnotherProcess) {
  ContainerSpec by_vsock = spec();
  by_vsock.link = "vsock";
  const auto words = pairs(by_vsock, {.program = "q", .vsock = 9, .volume_disks = {}});
  EXPECT_THAT(words, Contains("-chardev socket,id=vsock,fd=9"));
  EXPECT_THAT(words, Contains("-device vhost-user-vsock-pci,chardev=vsock"));
  EXPECT_THAT(words, Contains("-object memory-backend-memfd,id=memory,share=on,size=262144k"));
  EXPECT_THAT(words,
              Contains(AllOf(HasSubstr("-machine q35"), HasSubstr(",memory-backend=memory"))));
}

}  // namespace
}  // namespace vch
