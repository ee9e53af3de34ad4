#include "vch/cli/process_rows.h"

#include <gtest/gtest.h>

#include <limits>

#include "common/result.h"

namespace vch {
namespace {

constexpr std::time_t kNow = 1700000000;

TEST(ProcessRows, ReadAsThoseOfPs) {
  tether::v1::Processes list;
  list.set_now_ms(100000);
  auto& process = *list.add_process();
  process.set_pid(7);
  process.set_parent(1);
  process.set_uid(33);
  process.set_started_ms(40000);
  process.set_cpu_ms(15000);
  process.set_command("sh -c x");
  const auto rows = process_rows(list, kNow);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0][0], "UID");
  const auto& row = rows[1];
  EXPECT_EQ(row[0], "33");
  EXPECT_EQ(row[1], "7");
  EXPECT_EQ(row[2], "1");
  EXPECT_EQ(row[3], "25");
  EXPECT_EQ(row[5], "?");
  EXPECT_EQ(row[6], "00:00:15");
  EXPECT_EQ(row[7], "sh -c x");
}

TEST(HostileFigures, ProcessesOfAnyNumbersAndNamesAreOnePlainLineEach) {
  tether::v1::Processes list;
  for (const uint64_t extreme : {uint64_t{0}, uint64_t{1}, std::numeric_limits<uint64_t>::max()}) {
    auto& process = *list.add_process();
    process.set_started_ms(extreme);
    process.set_cpu_ms(extreme);
    process.set_pid(std::numeric_limits<uint32_t>::max());
    process.set_tty("\x1b]0;owned\a\x1b[2J");
    process.set_command("\r\nroot 1 0\n\xff\xc2\x9b");
  }
  for (const uint64_t now_ms : {uint64_t{0}, std::numeric_limits<uint64_t>::max()}) {
    list.set_now_ms(now_ms);
    const auto rows = process_rows(list, kNow);
    ASSERT_EQ(rows.size(), 4U);
    for (const auto& row : rows) {
      EXPECT_EQ(row.size(), rows[0].size());
      for (const std::string& field : row) EXPECT_EQ(common::escape(field), field);
    }
  }
}

}  // namespace
}  // namespace vch
