// For tests: a directory with a journal that grows as a machine would write it.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <vector>

#include "common/io.h"
#include "vch/journal/journal_stream.h"

namespace vch {

class JournalTest : public testing::Test {
 protected:
  static constexpr uint32_t kSecret = 0x5ec2e7;

  JournalTest() {
    std::string pattern = testing::TempDir() + "vch-journal-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
  }
  ~JournalTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  std::string encode(protocol::JournalRecord record, uint32_t secret = kSecret) {
    if (record.number == 0) record.number = ++number_;
    record.wall_ns = record.number;
    std::vector<char> bytes(protocol::kJournalMaxPayload + 64);
    const size_t size = protocol::encode_record(record, bytes.data(), bytes.size(), secret);
    return {bytes.data(), size};
  }
  std::string event(protocol::EventKind kind, std::string_view text = {}) {
    protocol::JournalRecord record;
    record.kind = kind;
    record.session = 1;
    record.payload = text;
    return encode(record);
  }
  std::string boot() {
    number_ = 0;
    return event(protocol::EventKind::kBoot, "1.0");
  }
  // Output at the stream's offset so far.
  std::string output(std::string_view bytes, uint32_t stream = 1) {
    std::string payload(8, '\0');
    uint64_t& offset = offsets_[stream - 1];
    for (size_t i = 0; i < 8; ++i) payload[i] = static_cast<char>(offset >> (8 * i));
    payload += bytes;
    offset += bytes.size();
    protocol::JournalRecord record;
    record.kind = protocol::EventKind::kOutput;
    record.session = 1;
    record.value = stream;
    record.payload = payload;
    return encode(record);
  }
  // Joins records, which a list makes in order.
  static std::string all(std::initializer_list<std::string> parts) {
    std::string out;
    for (const std::string& part : parts) out += part;
    return out;
  }
  void append(std::string_view bytes, uint64_t file = 0) {
    const auto fd = common::open_file(directory_ + "/" + journal_file_name(file),
                                      O_WRONLY | O_CREAT | O_APPEND);
    ASSERT_TRUE(fd.has_value());
    ASSERT_TRUE(common::write_all(fd->get(), bytes, "journal").has_value());
  }
  JournalStream stream(JournalStream::Options options = {}) {
    options.secret = kSecret;
    auto opened = JournalStream::open(directory_, options);
    if (opened.has_error()) throw std::runtime_error(opened.error().message());
    return std::move(*opened);
  }
  // Numbers of the records that come now; "gap:N" where N are missing.
  static std::vector<std::string> numbers(JournalStream& stream) {
    std::vector<std::string> out;
    for (;;) {
      const auto entry = stream.next();
      EXPECT_TRUE(entry.has_value());
      if (entry.has_error() || !*entry) return out;
      if ((*entry)->missing > 0) out.push_back("gap:" + std::to_string((*entry)->missing));
      out.push_back(std::to_string((*entry)->record.number));
    }
  }
  using Numbers = std::vector<std::string>;

  std::string directory_;
  uint64_t number_ = 0;
  std::array<uint64_t, 2> offsets_{};
};

}  // namespace vch
