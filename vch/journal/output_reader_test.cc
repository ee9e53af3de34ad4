#include "vch/journal/output_reader.h"

#include "vch/journal/journal_fixture.h"

namespace vch {
namespace {

using protocol::EventKind;
using What = JournalOutputReader::Piece::What;

class OutputReader : public JournalTest {
 protected:
  JournalOutputReader reader(JournalPosition from = {}, uint32_t stream = 1) {
    JournalStream::Options options;
    options.secret = kSecret;
    options.from = from;
    auto opened = JournalOutputReader::open(directory_, options, stream);
    if (opened.has_error()) throw std::runtime_error(opened.error().message());
    return std::move(*opened);
  }
  static JournalOutputReader::Piece read(JournalOutputReader& reader, uint64_t offset) {
    auto piece = reader.read(offset);
    if (piece.has_error()) throw std::runtime_error(piece.error().message());
    return *piece;
  }
};

TEST_F(OutputReader, GivesAStreamsBytesFromAnyOffset) {
  append(
      all({boot(), output("01234"), output("err", 2), event(EventKind::kPaused), output("56789")}));
  for (uint64_t offset = 0; offset < 10; ++offset) {
    JournalOutputReader out = reader();
    std::string got;
    while (read(out, offset + got.size()).what == What::kBytes) {
      got += read(out, offset + got.size()).bytes;
    }
    EXPECT_EQ(got, std::string("0123456789").substr(offset));
  }
  JournalOutputReader err = reader({}, 2);
  EXPECT_EQ(read(err, 1).bytes, "rr");
  EXPECT_EQ(read(err, 3).what, What::kNothing);
}

TEST_F(OutputReader, WaitsForWhatIsNotThereYet) {
  append(all({boot(), output("abc")}));
  JournalOutputReader out = reader();
  EXPECT_EQ(read(out, 3).what, What::kNothing);
  append(output("def"));
  EXPECT_EQ(read(out, 3).bytes, "def");
}

TEST_F(OutputReader, SaysWhatTheJournalWillNeverHave) {
  append(all({boot(), output("abc")}));
  offsets_[0] = 100;
  append(output("def"));
  JournalOutputReader out = reader();
  EXPECT_EQ(read(out, 1).bytes, "bc");
  const auto piece = read(out, 3);
  EXPECT_EQ(piece.what, What::kMissing);
  EXPECT_EQ(piece.offset, 100U);
  EXPECT_EQ(read(out, 100).bytes, "def");
}

TEST_F(OutputReader, KnowsOneLifeAlone) {
  const std::string old = all({boot(), output("old life")});
  append(old);
  offsets_ = {};
  append(all({boot(), output("new")}));
  offsets_ = {};
  append(all({boot(), output("newest")}));
  JournalOutputReader out = reader({0, old.size()});
  EXPECT_EQ(read(out, 0).bytes, "new");
  EXPECT_EQ(read(out, 3).what, What::kNothing);
}

TEST_F(OutputReader, ReadsABoundedPieceOfTheJournalAtOnce) {
  append(boot());
  for (int i = 0; i < 400; ++i) append(output(std::string(32000, 'e'), 2));
  append(output("found"));
  JournalOutputReader out = reader();
  EXPECT_EQ(read(out, 0).what, What::kContinue);
  int calls = 1;
  while (read(out, 0).what == What::kContinue) ++calls;
  EXPECT_GE(calls, 2);
  EXPECT_EQ(read(out, 0).bytes, "found");
}

}  // namespace
}  // namespace vch
