#include "protocol/config.h"

#include <algorithm>
#include <vector>

#include "protocol/config_fixture.h"

namespace protocol {
namespace {

pb::Root& root(pb::ContainerVm& c) { return *c.mutable_root(); }

void set_writable(pb::ContainerVm& c) {
  root(c).mutable_writable()->set_serial("writable");
  root(c).mutable_writable()->set_file_system("ext4");
}

void set_direct(pb::ContainerVm& c) {
  root(c).mutable_image()->set_file_system("ext4");
  root(c).set_direct(true);
}

pb::Volume& add_volume(pb::ContainerVm& c, const std::string& path) {
  auto* volume = c.add_volumes();
  volume->mutable_disk()->set_serial("vol" + std::to_string(c.volumes_size()));
  volume->mutable_disk()->set_file_system("ext4");
  volume->set_path(path);
  return *volume;
}

void add_ulimit(pb::ContainerVm& c, const std::string& name, uint64_t soft, uint64_t hard) {
  auto* ulimit = primary(c).add_ulimits();
  ulimit->set_name(name);
  ulimit->set_soft(soft);
  ulimit->set_hard(hard);
}

TEST(Config, AGoodOneIsTaken) {
  EXPECT_TRUE(check_config(good()).has_value());
  EXPECT_TRUE(check_config(*parse_config(good().SerializeAsString())).has_value());
  EXPECT_TRUE(config_problems(good()).empty());
}

TEST(Config, WhatAgreesIsTaken) {
  auto config = good();
  set_direct(config);
  root(config).set_read_only(true);
  add_volume(config, "/data");
  add_volume(config, "/data/inner/");
  auto* tmpfs = config.add_volumes();
  tmpfs->set_path("/tmp");
  tmpfs->mutable_tmpfs()->set_mode(07777);
  add_ulimit(config, "nofile", 1024, ~uint64_t{0});
  config.mutable_restart()->set_kind(pb::RestartPolicy::ON_FAILURE);
  config.mutable_restart()->set_max_retries(3);
  config.mutable_resources()->set_memory_max(64U << 20U);
  config.mutable_resources()->set_memory_low(32U << 20U);
  config.mutable_health()->add_argv("true");
  config.mutable_health()->set_interval_ms(1000);
  config.mutable_health()->set_timeout_ms(9000);  // the next one begins when this one has ended
  config.add_links()->mutable_uart()->set_index(1);
  config.mutable_journal()->set_port(std::string(kJournalPort));
  EXPECT_TRUE(check_config(config).has_value()) << check_config(config).error().message();
}

TEST(Config, IdentityIsRefusedByItsName) {
  expect_refused({
      {"version", [](auto& c) { c.set_version(2); }},
      {"id", [](auto& c) { c.set_id("xyz"); }},
      {"id", [](auto& c) { c.set_id(std::string(64, 'A')); }},
      {"name", [](auto& c) { c.set_name(std::string(256, 'n')); }},
      {"name", [](auto& c) { c.set_name(std::string("a\0b", 3)); }},
      {"hostname", [](auto& c) { c.set_hostname(std::string(65, 'h')); }},
      {"hostname", [](auto& c) { c.set_hostname("a\n127.0.0.1 bank.example"); }},
      {"secrets.link_key", [](auto& c) { c.mutable_secrets()->set_link_key("short"); }},
  });
}

TEST(Config, AnUpgradeKeyThatIsNoneIsRefusedByItsName) {
  auto config = good();
  for (const std::string& key : {std::string("x"), std::string(kUpgradeKeySize, '\x30')}) {
    config.set_upgrade_key(key);
    const auto checked = check_config(config);
    ASSERT_TRUE(checked.has_error());
    EXPECT_EQ(checked.error().object, "upgrade_key");
  }
}

TEST(Config, TheRootIsRefusedByItsName) {
  expect_refused({
      {"root", [](auto& c) { c.clear_root(); }},
      {"root.image", [](auto& c) { root(c).clear_image(); }},
      {"root.image.serial", [](auto& c) { root(c).mutable_image()->set_serial("a/b"); }},
      {"root.image.serial", [](auto& c) { root(c).mutable_image()->clear_serial(); }},
      {"root.image.serial",
       [](auto& c) { root(c).mutable_image()->set_serial(std::string(21, 's')); }},
      {"root.image.serial",
       [](auto& c) { root(c).mutable_image()->set_serial(std::string(kConfigDisk)); }},
      {"root.image.file_system", [](auto& c) { root(c).mutable_image()->set_file_system("ntfs"); }},
      {"root.image.file_system", [](auto& c) { root(c).set_direct(true); }},
      {"root.writable.serial",
       [](auto& c) {
         set_writable(c);
         root(c).mutable_writable()->set_serial("image");
       }},
      {"root.writable.file_system",
       [](auto& c) {
         set_writable(c);
         root(c).mutable_writable()->set_file_system("squashfs");
       }},
      {"root.read_only",
       [](auto& c) {
         set_writable(c);
         root(c).set_read_only(true);
       }},
      {"root.read_only",
       [](auto& c) {
         root(c).set_read_only(true);
         root(c).set_tmpfs_size(1U << 20U);
       }},
      {"root.tmpfs_size",
       [](auto& c) {
         set_writable(c);
         root(c).set_tmpfs_size(1U << 20U);
       }},
      {"root.direct",
       [](auto& c) {
         set_direct(c);
         set_writable(c);
       }},
      {"root.direct",
       [](auto& c) {
         set_direct(c);
         root(c).set_tmpfs_size(1U << 20U);
       }},
  });
}

TEST(Config, VolumesAreRefusedByTheirNames) {
  expect_refused({
      {"volumes",
       [](auto& c) {
         for (int i = 0; i < 65; ++i) add_volume(c, "/v" + std::to_string(i));
       }},
      {"volumes[0].path", [](auto& c) { add_volume(c, "/a/../b"); }},
      {"volumes[0].path", [](auto& c) { add_volume(c, "relative"); }},
      {"volumes[0].path", [](auto& c) { add_volume(c, "//"); }},
      {"volumes[0].path", [](auto& c) { add_volume(c, "/proc/sys"); }},
      {"volumes[0].path", [](auto& c) { add_volume(c, "/dev/"); }},
      {"volumes[1].path",
       [](auto& c) {
         add_volume(c, "/data");
         add_volume(c, "//data/");
       }},
      {"volumes[0].disk", [](auto& c) { add_volume(c, "/data").clear_disk(); }},
      {"volumes[0].disk.serial",
       [](auto& c) { add_volume(c, "/data").mutable_disk()->set_serial("image"); }},
      {"volumes[0].disk.file_system",
       [](auto& c) { add_volume(c, "/data").mutable_disk()->clear_file_system(); }},
      {"volumes[0].tmpfs", [](auto& c) { add_volume(c, "/data").mutable_tmpfs(); }},
      {"volumes[0].tmpfs.mode",
       [](auto& c) {
         auto& volume = add_volume(c, "/data");
         volume.clear_disk();
         volume.mutable_tmpfs()->set_mode(010000);
       }},
  });
}

TEST(Config, SessionsAreRefusedByTheirNames) {
  expect_refused({
      {"primary", [](auto& c) { c.clear_primary(); }},
      {"primary.argv", [](auto& c) { primary(c).clear_argv(); }},
      {"primary.argv[1]", [](auto& c) { primary(c).add_argv(std::string("a\0b", 3)); }},
      {"primary.env[0]", [](auto& c) { primary(c).add_env("=x"); }},
      {"primary.env[1]",
       [](auto& c) {
         primary(c).add_env("A=");
         primary(c).add_env("B");
       }},
      {"primary.working_dir", [](auto& c) { primary(c).set_working_dir("tmp"); }},
      {"primary.user", [](auto& c) { primary(c).set_user(std::string(257, 'u')); }},
      {"primary.stop_signal", [](auto& c) { primary(c).set_stop_signal(65); }},
      {"primary.window", [](auto& c) { primary(c).mutable_window()->set_rows(65536); }},
      {"primary.ulimits[0].name", [](auto& c) { add_ulimit(c, "NOFILE", 1, 1); }},
      {"primary.ulimits[1].name",
       [](auto& c) {
         add_ulimit(c, "core", 0, 0);
         add_ulimit(c, "core", 1, 1);
       }},
      {"primary.ulimits[0].soft", [](auto& c) { add_ulimit(c, "nproc", 2, 1); }},
      {"primary.oom_score_adj", [](auto& c) { primary(c).set_oom_score_adj(1001); }},
      {"primary.oom_score_adj", [](auto& c) { primary(c).set_oom_score_adj(-1001); }},
      {"health.argv", [](auto& c) { c.mutable_health()->set_retries(3); }},
      {"health.argv[1]",
       [](auto& c) {
         c.mutable_health()->add_argv("sh");
         c.mutable_health()->add_argv(std::string(1, '\0'));
       }},
  });
}

TEST(Config, LifeAndLimitsAreRefusedByTheirNames) {
  expect_refused({
      {"restart.kind",
       [](auto& c) { c.mutable_restart()->set_kind(static_cast<pb::RestartPolicy::Kind>(9)); }},
      {"restart.max_retries",
       [](auto& c) {
         c.mutable_restart()->set_kind(pb::RestartPolicy::ALWAYS);
         c.mutable_restart()->set_max_retries(3);
       }},
      {"resources.memory_max", [](auto& c) { c.mutable_resources()->set_memory_max(4096); }},
      {"resources.memory_low",
       [](auto& c) {
         c.mutable_resources()->set_memory_max(64U << 20U);
         c.mutable_resources()->set_memory_low(65U << 20U);
       }},
      {"resources.cpu_millis", [](auto& c) { c.mutable_resources()->set_cpu_millis(9); }},
      {"resources.cpu_weight", [](auto& c) { c.mutable_resources()->set_cpu_weight(10001); }},
  });
}

TEST(Config, LinksAndTheJournalAreRefusedByTheirNames) {
  expect_refused({
      {"links", [](auto& c) { c.clear_links(); }},
      {"links",
       [](auto& c) {
         for (int i = 0; i < 8; ++i) c.add_links();
       }},
      {"links[1]", [](auto& c) { c.add_links(); }},
      {"links[1]", [](auto& c) { *c.add_links() = c.links(0); }},
      {"links[1]",
       [](auto& c) {
         for (int i = 0; i < 2; ++i) c.mutable_links(0)->mutable_uart()->set_index(1);
         *c.add_links() = c.links(0);
       }},
      {"links[0].virtio_serial.port",
       [](auto& c) { c.mutable_links(0)->mutable_virtio_serial()->clear_port(); }},
      {"links[0].uart.index", [](auto& c) { c.mutable_links(0)->mutable_uart()->set_index(4); }},
      {"links[0].vsock.port", [](auto& c) { c.mutable_links(0)->mutable_vsock(); }},
      {"journal.port", [](auto& c) { c.mutable_journal()->set_port(std::string(kLinkPort)); }},
      {"journal.output_policy",
       [](auto& c) { c.mutable_journal()->set_output_policy(static_cast<pb::OutputPolicy>(2)); }},
  });
}

TEST(Config, ASecureLinkIsOneOfAllLinksAndHasItsKeys) {
  auto config = good();
  config.mutable_links(0)->set_security(pb::Link::SSH);
  config.mutable_secrets()->set_link_key(std::string(32, 'k'));
  config.mutable_secrets()->set_ssh_host_key("key");
  config.mutable_secrets()->set_ssh_link_key("key");
  EXPECT_TRUE(check_config(config).has_value()) << check_config(config).error().message();
  EXPECT_TRUE(has_secure_link(config));
  EXPECT_FALSE(has_secure_link(good()));
  const auto refused = [&config](auto change) {
    auto changed = config;
    change(changed);
    const auto good = check_config(changed);
    return good.has_value() ? "nothing" : good.error().object;
  };
  EXPECT_EQ("secrets.ssh_host_key",
            refused([](auto& c) { c.mutable_secrets()->clear_ssh_host_key(); }));
  EXPECT_EQ("secrets.ssh_link_key",
            refused([](auto& c) { c.mutable_secrets()->clear_ssh_link_key(); }));
  EXPECT_EQ("links[1].security",
            refused([](auto& c) { c.add_links()->mutable_uart()->set_index(1); }));
  EXPECT_EQ("links[0].security", refused([](auto& c) {
              c.mutable_links(0)->set_security(static_cast<pb::Link::Security>(2));
            }));
  config.clear_secrets();  // as PID 1 sees it
  EXPECT_TRUE(check_config(config).has_value());
}

TEST(Config, EveryProblemIsNamedInOneGo) {
  auto config = good();
  config.set_version(0);
  primary(config).set_stop_signal(99);
  add_volume(config, "nowhere");
  config.mutable_network()->add_name_servers("one");
  config.mutable_network()->add_search("two words");
  std::vector<std::string> fields;
  for (const auto& problem : config_problems(config)) fields.push_back(problem.object);
  EXPECT_EQ(fields, (std::vector<std::string>{"version", "volumes[0].path", "primary.stop_signal",
                                              "network.name_servers", "network.search"}));
}

TEST(Config, NobodyIsBuriedInProblems) {
  auto config = good();
  for (int i = 0; i < 1000; ++i) primary(config).add_env("=");
  EXPECT_EQ(config_problems(config).size(), 64U);
}

TEST(Config, BytesThatAreNoMessageAreRefused) {
  EXPECT_EQ(parse_config("\xff\xff\xff").error().code.value(), EBADMSG);
  EXPECT_EQ(parse_config(std::string(kMaxConfigSize + 1, ' ')).error().code.value(), E2BIG);
}

TEST(Config, UnknownFieldsAreKept) {
  std::string bytes = good().SerializeAsString() + "\xf2\x3f\x01x";  // field 1022, one byte
  auto config = *parse_config(bytes);
  EXPECT_TRUE(check_config(config).has_value());
  EXPECT_NE(config.SerializeAsString().find("\xf2\x3f\x01x"), std::string::npos);
}

}  // namespace
}  // namespace protocol
