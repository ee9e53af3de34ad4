#include "tether/supervisor/salvage.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "tether/supervisor/faults.h"

namespace tether {
namespace {

using protocol::EventKind;

constexpr uint32_t kSecret = 0xfeed;
constexpr int kCaught = 42;

void catch_and_exit() {
  catch_faults([](int, siginfo_t*, void*) { ::_exit(kCaught); });
}
void fault() {
  void* const place = ::mmap(nullptr, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  *static_cast<volatile char*>(place) = 0;
}

TEST(Faults, AreCaught) {
  EXPECT_EXIT(
      {
        catch_and_exit();
        fault();
      },
      ::testing::ExitedWithCode(kCaught), "");
  EXPECT_EXIT(
      {
        catch_and_exit();
        ::abort();
      },
      ::testing::ExitedWithCode(kCaught), "");
}

TEST(Faults, OfAChildAreItsOwn) {
  EXPECT_EXIT(
      {
        catch_and_exit();
        const pid_t child = ::fork();
        if (child == 0) fault();
        int status = 0;
        ::waitpid(child, &status, 0);
        ::_exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST(Faults, ThatSomebodySendsArePassedOver) {
  EXPECT_EXIT(
      {
        catch_and_exit();
        const pid_t parent = ::getpid();
        const pid_t child = ::fork();
        if (child == 0) ::_exit(::kill(parent, SIGSEGV) == 0 ? 0 : 1);
        int status = 0;
        ::waitpid(child, &status, 0);
        ::_exit(status);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST(Faults, AreDescribedByAddressAndInstruction) {
  std::array<char, 256> text;
  siginfo_t about{};
  about.si_code = SEGV_MAPERR;
  about.si_addr = reinterpret_cast<void*>(0xdead0);
  describe_fault(SIGSEGV, about, 0x10, text);
  EXPECT_STREQ(text.data(), "SIGSEGV at address 0xdead0, instruction 0x10");
  about.si_code = SI_TKILL;
  describe_fault(SIGABRT, about, 0xfff, text);
  EXPECT_STREQ(text.data(), "SIGABRT, instruction 0xfff");
}

class Notes : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::pipe2(ends_, O_NONBLOCK | O_CLOEXEC), 0);
    before_->use(common::UniqueFd(ends_[1]));
    before_->set_secret(kSecret);
  }
  void TearDown() override { ::close(ends_[0]); }
  std::string drain() {
    std::string out;
    char buffer[65536];
    for (ssize_t n = 0; (n = ::read(ends_[0], buffer, sizeof buffer)) > 0;) {
      out.append(buffer, static_cast<size_t>(n));
    }
    return out;
  }
  // As a fault would: the one writer is not touched again.
  SalvageNotes hand_over(SalvageNotes notes) {
    std::string_view waiting;
    notes.journal = before_->rest(waiting);
    notes.journal.port = ::fcntl(notes.journal.port, F_DUPFD_CLOEXEC, 0);
    write_notes(memory_.get(), notes, waiting);
    return read_notes(memory_.get(), *after_);
  }

  int ends_[2] = {-1, -1};
  common::UniqueFd memory_{::memfd_create("notes", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
  std::unique_ptr<JournalWriter> before_ = std::make_unique<JournalWriter>();
  std::unique_ptr<JournalWriter> after_ = std::make_unique<JournalWriter>();
};

TEST_F(Notes, TheJournalGoesOnInTheMiddleOfARecord) {
  const std::string piece(protocol::kJournalOutputPiece, 'o');
  uint64_t offset = 0;
  while (before_->write_output(1, 1, offset, {piece, {}})) offset += piece.size();
  ASSERT_TRUE(before_->waiting());
  SalvageNotes notes;
  notes.errno_value = ENOMEM;
  notes.watchdog = 77;
  std::string_view("why").copy(notes.why.data(), notes.why.size());
  const SalvageNotes read = hand_over(notes);
  EXPECT_STREQ(read.why.data(), "why");
  EXPECT_EQ(read.errno_value, ENOMEM);
  EXPECT_EQ(read.watchdog, 77);
  EXPECT_EQ(read.guestinfo, -1);
  protocol::JournalRecord failure;
  failure.kind = EventKind::kFailure;
  failure.payload = "why";
  after_->write(failure);
  std::string bytes;
  do {
    bytes += drain();
  } while (!after_->flush());
  bytes += drain();
  protocol::JournalReader reader(bytes, kSecret);
  uint64_t number = 0;
  uint64_t seen = 0;
  auto last = EventKind::kBoot;
  while (const auto record = reader.next()) {
    EXPECT_EQ(record->number, ++number);
    if (const auto output = protocol::decode_output(*record)) seen += output->bytes.size();
    last = record->kind;
  }
  EXPECT_EQ(reader.damaged_bytes(), 0U);
  EXPECT_EQ(seen, offset);
  EXPECT_EQ(last, EventKind::kFailure);
}

TEST_F(Notes, ThatAreNotWholeAreEmpty) {
  (void)hand_over({});
  ASSERT_EQ(::ftruncate(memory_.get(), sizeof(SalvageNotes) - 1), 0);
  auto writer = std::make_unique<JournalWriter>();
  const SalvageNotes read = read_notes(memory_.get(), *writer);
  EXPECT_EQ(read.watchdog, -1);
  EXPECT_EQ(writer->fd(), -1);
}

TEST_F(Notes, AreFoundBySealedMemoryAlone) {
  std::string number = std::to_string(memory_.get());
  char name[] = "tether";
  char role[] = "salvage";
  char* argv[] = {name, role, number.data(), nullptr};
  EXPECT_EQ(parse_salvage(3, argv), std::nullopt);
  ASSERT_EQ(::fcntl(memory_.get(), F_ADD_SEALS, F_SEAL_WRITE), 0);
  EXPECT_EQ(parse_salvage(3, argv), memory_.get());
  char resume[] = "resume";
  argv[1] = resume;
  EXPECT_EQ(parse_salvage(3, argv), std::nullopt);
  EXPECT_EQ(parse_salvage(2, argv), std::nullopt);
}

}  // namespace
}  // namespace tether
