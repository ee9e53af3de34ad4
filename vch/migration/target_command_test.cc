#include "vch/migration/target_command.h"

#include <gtest/gtest.h>

#include "vch/machine/qemu_command.h"
#include "vch/network/qemu_network.h"

namespace vch {
namespace {

using Words = std::vector<std::string>;

ContainerSpec some_spec() {
  ContainerSpec spec;
  spec.name = "box";
  spec.memory = uint64_t{64} << 20U;
  spec.memory_top = uint64_t{128} << 20U;
  spec.cpus_top = 2;
  spec.iso = "/iso, of ours";
  VolumeMount mount;
  mount.volume = "data";
  mount.path = "/data";
  mount.serial = "vol0";
  spec.volumes = {mount};
  spec.networks = {{"user", "", "52:54:00:00:00:01", "eth0", 0},
                   {"bridge", "br0", "52:54:00:00:00:02", "eth1", 0}};
  return spec;
}

Words command_of(const ContainerSpec& spec) {
  QemuInputs inputs;
  inputs.program = "/usr/bin/qemu";
  inputs.qmp_socket = 5;
  inputs.volume_disks = {"/source/volumes/data/disk.ext4"};
  inputs.taps = {-1, 6};
  inputs.ports = {{"127.0.0.1", 8080, 80, false}};
  return qemu_command(spec, inputs);
}

TargetCommandInputs inputs_for(Words source) {
  TargetCommandInputs inputs;
  inputs.source = std::move(source);
  inputs.machine_type = "pc-q35-7.2";
  inputs.devices = {kDiskSlot, kNetworkSlot, kSpareMemory, "nic525400000001", "nic525400000002"};
  inputs.journal = "journal.3";
  inputs.qmp_socket = 11;
  inputs.disks = {{"vol0", "/target/volumes/data/disk.ext4"}};
  inputs.taps = {{"net525400000002", 12}};
  return inputs;
}

// The words behind each of these options.
Words values_of(const Words& command, const std::string& option) {
  Words values;
  for (size_t i = 0; i + 1 < command.size(); ++i) {
    if (command[i] == option) values.push_back(command[i + 1]);
  }
  return values;
}

std::string value_with(const Words& command, const std::string& option, const std::string& part) {
  for (const std::string& value : values_of(command, option)) {
    if (value.find(part) != std::string::npos) return value;
  }
  return "";
}

TEST(TargetCommand, ChangesOnlyWhatTheTargetHasForItself) {
  const Words source = command_of(some_spec());
  const auto command = target_command(inputs_for(source));
  ASSERT_TRUE(command.has_value()) << command.error().message();
  EXPECT_TRUE(values_of(*command, "-machine")[0].starts_with("pc-q35-7.2,i8042=off"));
  EXPECT_EQ(value_with(*command, "-chardev", "id=qmp"), "socket,id=qmp,fd=11,server=on,wait=off");
  EXPECT_EQ(value_with(*command, "-chardev", "id=journal"),
            "file,id=journal,path=journal.3,append=on");
  EXPECT_NE(value_with(*command, "-drive", "id=vol0").find("file=/target/volumes/data/disk.ext4"),
            std::string::npos);
  EXPECT_NE(value_with(*command, "-drive", "id=cd").find("file=/iso,, of ours"), std::string::npos);
  EXPECT_EQ(value_with(*command, "-netdev", "id=net525400000002"), "tap,id=net525400000002,fd=12");
  EXPECT_EQ(value_with(*command, "-netdev", "hostfwd"), "");
  EXPECT_NE(value_with(*command, "-netdev", "id=net525400000001"), "");
  const Words end(command->end() - 3, command->end());
  EXPECT_EQ(end, (Words{"-S", "-incoming", "defer"}));
  EXPECT_EQ(command->size(), source.size() + 3);
  // Devices are the same, in the same order: so are their places on the buses.
  EXPECT_EQ(values_of(*command, "-device"), values_of(source, "-device"));
}

TEST(TargetCommand, OfATargetIsTheSameAgain) {
  const auto once = target_command(inputs_for(command_of(some_spec())));
  ASSERT_TRUE(once.has_value());
  const auto twice = target_command(inputs_for(*once));
  ASSERT_TRUE(twice.has_value());
  EXPECT_EQ(*once, *twice);
}

TEST(TargetCommand, WhatWasPluggedInIsThereAndWhatWasUnpluggedIsNot) {
  auto inputs = inputs_for(command_of(some_spec()));
  inputs.devices.insert({"cpu1", "disks", "hot-vol9"});
  inputs.plugged = {"-device",   "max-x86_64-cpu,id=cpu1,core-id=1",
                    "-device",   "virtio-scsi-pci,id=disks,bus=disk-slot",
                    "-blockdev", "driver=raw,node-name=hot-vol9,file.filename=/s",
                    "-device",   "scsi-hd,id=hot-vol9,bus=disks.0,drive=hot-vol9"};
  const auto with = target_command(inputs);
  ASSERT_TRUE(with.has_value());
  EXPECT_NE(value_with(*with, "-device", "id=hot-vol9"), "");
  auto again = inputs_for(*with);
  again.devices.insert({"cpu1", "disks"});
  const auto without = target_command(again);
  ASSERT_TRUE(without.has_value());
  EXPECT_EQ(value_with(*without, "-device", "id=hot-vol9"), "");
  EXPECT_EQ(value_with(*without, "-blockdev", "hot-vol9"), "");
  EXPECT_NE(value_with(*without, "-device", "id=cpu1"), "");
  EXPECT_NE(value_with(*without, "-device", "id=disks"), "");
}

TEST(TargetCommand, RefusesWhatAnotherProcessServes) {
  auto inputs = inputs_for(command_of(some_spec()));
  inputs.source.insert(inputs.source.end(), {"-chardev", "socket,id=vsock,fd=7"});
  const auto command = target_command(inputs);
  ASSERT_TRUE(command.has_error());
  EXPECT_NE(command.error().message().find("id=vsock"), std::string::npos);
}

TEST(TargetCommand, OptionListsAreTakenApartAndPutTogether) {
  for (const std::string list : {"a", "a,b=c", "file=/x,,y,id=1", "file=,,,id=1"}) {
    EXPECT_EQ(join_options(split_options(list)), list);
  }
  EXPECT_EQ(option_value(split_options("file=/x,,y,id=1"), "file"), "/x,y");
  EXPECT_EQ(option_value(split_options("file=/x"), "id"), "");
}

}  // namespace
}  // namespace vch
