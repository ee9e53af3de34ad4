#include "tether/upgrade/programs.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "tether/boot/own_program.h"

namespace tether {
namespace {

constexpr unsigned long kPlain = MS_NOSUID | MS_NODEV;

// 0 is where the boot has put it. Two others take turns.
struct Place {
  const char* directory;
  const char* program;
};
constexpr std::array<Place, 3> kPlaces = {
    {{"", ""}, {"/agent.1", "/agent.1/tether"}, {"/agent.2", "/agent.2/tether"}}};

class KernelPrograms : public Programs {
 public:
  common::UniqueFd make(int& errno_value) override {
    const Place& place = kPlaces[next()];
    const auto fail = [&errno_value, this] {
      errno_value = errno;
      discard();
      return common::UniqueFd();
    };
    if (::mkdir(place.directory, 0700) != 0 && errno != EEXIST) return fail();
    if (::mount("tmpfs", place.directory, "tmpfs", kPlain, "mode=0700,size=9m,nr_inodes=4") != 0) {
      return fail();
    }
    common::UniqueFd file(::open(place.program, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0500));
    return file ? std::move(file) : fail();
  }
  // The kernel refuses it while there is a descriptor for writing.
  int protect() override {
    struct stat about {};
    const char* program = kPlaces[next()].program;
    if (::stat(program, &about) != 0) return errno;
    if (about.st_size <= 0 || static_cast<size_t>(about.st_size) > kMostProgram) return EFBIG;
    const char* directory = kPlaces[next()].directory;
    return ::mount(nullptr, directory, nullptr, MS_REMOUNT | MS_RDONLY | kPlain, nullptr) == 0
               ? 0
               : errno;
  }
  pid_t spawn(const char* role, std::span<const FdSlot> fds) override {
    return spawn_role(role, fds, -1, kPlaces[next()].program);
  }
  void discard() override { remove(next()); }
  int execute(int state) override {
    const common::UniqueFd program(::open(kPlaces[next()].program, O_RDONLY | O_CLOEXEC));
    const common::UniqueFd old(::open(kOwnProgram, O_RDONLY));
    if (!program || !old) return errno;
    ::fcntl(state, F_SETFD, 0);
    std::array<std::array<char, 12>, 4> numbers{};
    std::snprintf(numbers[0].data(), numbers[0].size(), "%d", state);
    std::snprintf(numbers[1].data(), numbers[1].size(), "%d", old.get());
    std::snprintf(numbers[2].data(), numbers[2].size(), "%u", next());
    std::snprintf(numbers[3].data(), numbers[3].size(), "%u", place_);
    std::array<char, 8> name = {"tether"};
    std::array<char, 8> role = {"resume"};
    std::array<char*, 7> argv = {
        name.data(),       role.data(), numbers[0].data(), numbers[1].data(), numbers[2].data(),
        numbers[3].data(), nullptr};
    ::syscall(SYS_execveat, program.get(), "", argv.data(), ::environ, AT_EMPTY_PATH);
    const int failed = errno;
    ::fcntl(state, F_SETFD, FD_CLOEXEC);
    return failed;
  }
  // Its memory goes with the last process that still runs it.
  void settle(const Resumed& resumed) override {
    place_ = resumed.place;
    if (resumed.old_program >= 0) {
      ::close(resumed.old_program);
      ::umount2(kOwnProgram, MNT_DETACH);
      ::mount(kPlaces.at(place_).program, kOwnProgram, nullptr, MS_BIND, nullptr);
    }
    remove(resumed.old_place);
  }

 private:
  uint32_t next() const { return place_ == 1 ? 2 : 1; }
  static void remove(uint32_t place) {
    if (place == 0 || place >= kPlaces.size()) return;
    ::umount2(kPlaces[place].directory, MNT_DETACH);
    ::rmdir(kPlaces[place].directory);
  }

  uint32_t place_ = 0;
};

}  // namespace

Programs& kernel_programs() {
  static KernelPrograms programs;
  return programs;
}

}  // namespace tether
