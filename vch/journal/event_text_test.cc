#include "vch/journal/event_text.h"

#include <gtest/gtest.h>

namespace vch {
namespace {

using protocol::EventKind;
using protocol::JournalRecord;

const EventSubject kWeb = {std::string(64, 'a'), "web", "busybox"};

JournalRecord record(EventKind kind, uint32_t session = 0, uint32_t value = 0, uint32_t extra = 0,
                     std::string_view text = {}) {
  JournalRecord r;
  r.wall_ns = 1735689600000000001U;
  r.kind = kind;
  r.session = session;
  r.value = value;
  r.extra = extra;
  r.payload = text;
  return r;
}

std::string line(const JournalRecord& r) {
  const auto event = event_of(r);
  if (!event) return "";
  const std::string text = event_line(kWeb, *event);
  const std::string prefix = "2025-01-01T00:00:00.000000001Z container ";
  EXPECT_TRUE(text.starts_with(prefix)) << text;
  return text.substr(prefix.size(), text.find(" " + kWeb.id) - prefix.size()) +
         text.substr(text.find(kWeb.id) + kWeb.id.size());
}

TEST(EventText, LinesAreDockers) {
  EXPECT_EQ(line(record(EventKind::kBoot, 0, 0, 0, "1.0")),
            "boot (agent=1.0, image=busybox, name=web)");
  EXPECT_EQ(line(record(EventKind::kSessionStarted, 1, 42)),
            "start (pid=42, image=busybox, name=web)");
  EXPECT_EQ(line(record(EventKind::kSessionStarted, 5, 50)),
            "exec_start (pid=50, session=5, image=busybox, name=web)");
  EXPECT_EQ(line(record(EventKind::kSessionExited, 5, 1)),
            "exec_die (exitCode=1, session=5, image=busybox, name=web)");
  EXPECT_EQ(line(record(EventKind::kHealth, 3, 3)),
            "health_status: unhealthy (image=busybox, name=web)");
  EXPECT_EQ(line(record(EventKind::kSessionExited, 1, 137, 9)),
            "die (exitCode=137, signal=9, image=busybox, name=web)");
  EXPECT_EQ(line(record(EventKind::kSignal, 1, 15)), "kill (signal=15, image=busybox, name=web)");
  EXPECT_EQ(line(record(EventKind::kSignal, 1, 15, 0, "power button")),
            "kill (signal=15, by=power button, image=busybox, name=web)");
  EXPECT_EQ(line(record(EventKind::kOutput, 1)), "");
}

TEST(EventText, AForbiddenCallHasItsName) {
  EXPECT_EQ(line(record(EventKind::kLinkDied, 0, 137)),
            "link_die (exitCode=137, image=busybox, name=web)");
  EXPECT_EQ(line(record(EventKind::kLinkDied, 0, 159, 42)),
            "link_die (exitCode=159, forbiddenCall=socket (41), image=busybox, name=web)");
  EXPECT_EQ(line(record(EventKind::kLinkDied, 0, 159, 60001)),
            "link_die (exitCode=159, forbiddenCall=60000, image=busybox, name=web)");
}

TEST(EventText, UpgradesSayWhatBecameOfThem) {
  EXPECT_EQ(line(record(EventKind::kUpgrade, 0, 1, 0, "1 to 2")),
            "upgrade_begin (agent=1 to 2, image=busybox, name=web)");
  EXPECT_EQ(line(record(EventKind::kUpgrade, 0, 2, 0, "2")),
            "upgrade (agent=2, image=busybox, name=web)");
  EXPECT_EQ(line(record(EventKind::kUpgrade, 0, 3, 0, "why")),
            "upgrade_refuse (error=why, image=busybox, name=web)");
  EXPECT_EQ(line(record(EventKind::kUpgrade, 0, 4, 0, "why")),
            "upgrade_fail (error=why, image=busybox, name=web)");
}

TEST(EventText, VolumesSayWhere) {
  EXPECT_EQ(line(record(EventKind::kVolume, 0, 1, 0, "/data")),
            "volume_attach (path=/data, image=busybox, name=web)");
  EXPECT_EQ(line(record(EventKind::kVolume, 0, 2, 0, "/data")),
            "volume_detach (path=/data, image=busybox, name=web)");
  EXPECT_EQ(line(record(EventKind::kVolume, 0, 3, 0, "volume data")),
            "volume_repair (repair=volume data, image=busybox, name=web)");
  EXPECT_EQ(line(record(EventKind::kVolume, 0, 99, 0, "x")),
            "volume (about=x, image=busybox, name=web)");
}

TEST(EventText, TheGuestsWordsAreEscaped) {
  EXPECT_EQ(line(record(EventKind::kOom, 1, 7, 0, "a\x1b[2J\n")),
            "oom (pid=7, process=a\\x1b[2J\\x0a, image=busybox, name=web)");
  const auto event = event_of(record(EventKind::kOom, 1, 7, 0, "\xff\x1b"));
  EXPECT_EQ(event_json(kWeb, *event).find('\x1b'), std::string::npos);
}

TEST(EventText, JsonIsDockersObject) {
  const auto event = event_of(record(EventKind::kSessionExited, 1, 4));
  EXPECT_EQ(event_json({"id", "web", "busybox"}, *event),
            R"({"status":"die","id":"id","from":"busybox","Type":"container","Action":"die",)"
            R"("Actor":{"ID":"id","Attributes":{"exitCode":"4","image":"busybox","name":"web"}},)"
            R"("scope":"local","time":1735689600,"timeNano":1735689600000000001})");
}

TEST(EventText, FiltersOfOneKeyAreAlternatives) {
  const auto die = event_of(record(EventKind::kSessionExited, 1, 4));
  const auto healthy = event_of(record(EventKind::kHealth, 3, 2));
  EventFilter filter;
  EXPECT_TRUE(filter.matches(kWeb, *die));
  ASSERT_TRUE(filter.add("event=die").has_value());
  ASSERT_TRUE(filter.add("event=start").has_value());
  EXPECT_TRUE(filter.matches(kWeb, *die));
  EXPECT_FALSE(filter.matches(kWeb, *healthy));
  ASSERT_TRUE(filter.add("event=health_status").has_value());
  EXPECT_TRUE(filter.matches(kWeb, *healthy));
  ASSERT_TRUE(filter.add("container=db").has_value());
  EXPECT_FALSE(filter.matches(kWeb, *die));
  ASSERT_TRUE(filter.add("container=aaaa").has_value());
  EXPECT_TRUE(filter.matches(kWeb, *die));
  ASSERT_TRUE(filter.add("type=network").has_value());
  EXPECT_FALSE(filter.matches(kWeb, *die));
  EXPECT_TRUE(filter.add("color=red").has_error());
  EXPECT_TRUE(filter.add("event").has_error());
}

}  // namespace
}  // namespace vch
