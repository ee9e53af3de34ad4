// Volumes and networks that come and go: what helpers say of them becomes events, and work.
#include "tether/boot/volume_main.h"
#include "tether/supervisor/supervisor_fixture.h"

namespace tether {
namespace {

using protocol::EventKind;
using protocol::VolumeNews;

class ChangesTest : public SupervisorFixture {
 protected:
  template <typename Change>
  static common::UniqueFd file_with(const Change& change) {
    common::UniqueFd fd(::memfd_create("change", MFD_CLOEXEC));
    if (::pwrite(fd.get(), &change, sizeof change, 0) != sizeof change) ::abort();
    return fd;
  }
  // A helper did it, and said so in the file.
  template <typename Change>
  std::vector<Heard> change(LinkType type, uint64_t request, const Change& said, int status = 0) {
    const auto file = file_with(said);
    say(message(type, 0, 1, request), {}, file.get());
    system_.ended.emplace_back(newest().pid, status);
    return hear();
  }
  static VolumeChange volume(VolumeNews what, const std::string& path, const std::string& repair) {
    VolumeChange out;
    out.what = static_cast<uint32_t>(what);
    path.copy(out.path.data(), out.path.size() - 1);
    repair.copy(out.repair.data(), out.repair.size() - 1);
    return out;
  }
  void send(const DhcpNews& news) {
    ASSERT_EQ(::send(dhcp_.get(), &news, sizeof news, 0), static_cast<ssize_t>(sizeof news));
    turn();
  }
  static DhcpNews lease(uint8_t server) {
    DhcpNews news;
    news.interface = kHotInterface;
    news.prefix_length = 24;
    news.address = {10, 1, 2, 3};
    news.name_server_count = 1;
    news.name_servers[0] = {10, 1, 2, server};
    return news;
  }
  // Who writes the file has this many for the card; and is done.
  size_t servers() {
    EXPECT_EQ(newest().role, "resolver");
    EXPECT_EQ(::pread(newest().fds.at(kResolverFd).get(), table_.data(), sizeof table_, 0),
              static_cast<ssize_t>(sizeof table_));
    system_.ended.emplace_back(newest().pid, 0);
    turn();
    return table_[protocol::kMaxInterfaces].count;
  }
  uint8_t server() const { return table_[protocol::kMaxInterfaces].name_servers[0][3]; }
  void connect_by_dhcp() {
    NetworkChange card;
    card.connected = card.dhcp = 1;
    std::strcpy(card.name.data(), "eth0");
    change(LinkType::kNetwork, 1, card);
    for (auto& one : system_.spawned) {
      if (one.role == "dhcp") dhcp_ = std::move(one.fds.at(kDhcpReportFd));
    }
    // It may have brought a name server of its own.
    EXPECT_EQ(servers(), 0U);
  }
  common::UniqueFd dhcp_;
  ResolverTable table_{};
};

TEST_F(ChangesTest, AVolumesComingAndGoingAndItsRepairAreEvents) {
  boot_running();
  auto told = events(change(LinkType::kVolume, 1, volume(VolumeNews::kAttached, "/data", "fixed")),
                     EventKind::kVolume);
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[0].header.value, static_cast<uint32_t>(VolumeNews::kRepaired));
  EXPECT_EQ(told[0].payload, "fixed");
  EXPECT_EQ(told[1].header.value, static_cast<uint32_t>(VolumeNews::kAttached));
  EXPECT_EQ(told[1].payload, "/data");
  told = events(change(LinkType::kVolume, 2, volume(VolumeNews::kDetached, "/data", "")),
                EventKind::kVolume);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].header.value, static_cast<uint32_t>(VolumeNews::kDetached));
}

TEST_F(ChangesTest, WhatFailedOrMakesNoSenseIsNoEvent) {
  boot_running();
  const auto attached = volume(VolumeNews::kAttached, "/data", "");
  EXPECT_TRUE(
      events(change(LinkType::kVolume, 1, attached, EBUSY << 8), EventKind::kVolume).empty());
  EXPECT_TRUE(events(change(LinkType::kVolume, 2, VolumeChange{}), EventKind::kVolume).empty());
  EXPECT_TRUE(events(change(LinkType::kVolume, 3, uint64_t{1}), EventKind::kVolume).empty());
  VolumeChange endless = volume(static_cast<VolumeNews>(77), "/data", "");
  endless.path.fill('x');
  EXPECT_TRUE(events(change(LinkType::kVolume, 4, endless), EventKind::kVolume).empty());
}

TEST_F(ChangesTest, NameServersOfALeaseAreWrittenOnceForEachChange) {
  boot_running();
  connect_by_dhcp();
  const size_t before = system_.spawned.size();
  send(lease(53));
  ASSERT_EQ(system_.spawned.size(), before + 1);
  // While that is being written, whatever comes waits, and the last of it is written then.
  send(lease(54));
  send(lease(55));
  EXPECT_EQ(system_.spawned.size(), before + 1);
  EXPECT_EQ(servers(), 1U);
  EXPECT_EQ(server(), 53);
  ASSERT_EQ(system_.spawned.size(), before + 2);
  EXPECT_EQ(servers(), 1U);
  EXPECT_EQ(server(), 55);
  send(lease(55));
  EXPECT_EQ(system_.spawned.size(), before + 2) << "nothing new";
}

TEST_F(ChangesTest, ALeaseOfAnInterfaceWithoutDhcpIsNone) {
  auto& fixed = *config_.mutable_network()->add_interfaces();
  fixed.set_name("eth1");
  fixed.add_addresses("10.9.9.9/24");
  boot_running();
  connect_by_dhcp();
  const size_t before = system_.spawned.size();
  DhcpNews news = lease(53);
  news.interface = 0;
  send(news);
  EXPECT_TRUE(events(hear(), EventKind::kAddress).empty());
  EXPECT_EQ(system_.spawned.size(), before) << "its name servers are nobody's";
}

TEST_F(ChangesTest, NameServersGoWithTheirInterfaceOrTheirLease) {
  boot_running();
  connect_by_dhcp();
  send(lease(53));
  EXPECT_EQ(servers(), 1U);
  DhcpNews none;
  none.interface = kHotInterface;
  send(none);
  EXPECT_EQ(servers(), 0U) << "the lease has ended";
  send(lease(53));
  EXPECT_EQ(servers(), 1U);
  NetworkChange card;
  std::strcpy(card.name.data(), "eth0");
  change(LinkType::kNetwork, 2, card);
  EXPECT_EQ(servers(), 0U) << "the card is gone";
}

}  // namespace
}  // namespace tether
