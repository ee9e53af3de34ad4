// Unpacking a tar stream that anybody wrote: nothing outside of the directory is made, changed or
// taken away, and with `only` nothing beside that member.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string>

#include "common/unique_fd.h"
#include "fuzz_input.h"
#include "tar/unpack.h"

namespace {

namespace fs = std::filesystem;
using serial_transport::require;

// A place for this process: `in` is unpacked into, `beside` must stay as it is.
class Place {
 public:
  Place() {
    std::string path = fs::temp_directory_path() / "tar-fuzz-XXXXXX";
    require(::mkdtemp(path.data()) != nullptr, "a place");
    root_ = path;
  }
  ~Place() {
    std::error_code ignored;
    fs::current_path("/", ignored);
    fs::remove_all(root_, ignored);
  }
  void clear() {
    fs::current_path("/");
    for (const char* name : {"in", "beside"}) {
      make_writable(root_ / name);
      fs::remove_all(root_ / name);
      fs::create_directory(root_ / name);
    }
    const int file = ::creat((root_ / "beside" / "file").c_str(), 0640);
    require(file >= 0 && ::write(file, "kept", 4) == 4, "a file beside");
    ::close(file);
    // What an earlier member could have led through.
    fs::create_symlink("../beside", root_ / "in" / "door");
    fs::create_directory(root_ / "in" / "there");
  }
  const fs::path& root() const { return root_; }

 private:
  static void make_writable(const fs::path& path) {
    std::error_code ignored;
    for (auto at = fs::recursive_directory_iterator(path, ignored);
         at != fs::recursive_directory_iterator(); at.increment(ignored)) {
      if (at->is_directory(ignored) && !at->is_symlink(ignored)) ::chmod(at->path().c_str(), 0700);
    }
  }
  fs::path root_;
};

void check_beside(const fs::path& beside) {
  size_t count = 0;
  for (const auto& entry : fs::directory_iterator(beside)) {
    ++count;
    struct stat about {};
    require(::lstat(entry.path().c_str(), &about) == 0 && about.st_size == 4 &&
                (about.st_mode & 07777U) == 0640U && S_ISREG(about.st_mode) && about.st_nlink == 1,
            "what lies beside is as it was");
  }
  require(count == 1, "nothing came beside");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Place place;
  if (size < 1) return 0;
  place.clear();
  tar::UnpackOptions options;
  options.directory = place.root() / "in";
  options.trusted = (data[0] & 1U) != 0;
  options.only = (data[0] & 2U) != 0 ? "there" : "";
  options.report = [](std::string_view, std::string_view) {};
  const common::UniqueFd file(::memfd_create("tar", MFD_CLOEXEC));
  require(::write(file.get(), data + 1, size - 1) == static_cast<ssize_t>(size - 1) &&
              ::lseek(file.get(), 0, SEEK_SET) == 0,
          "the stream");
  (void)tar::unpack(options, file.get());
  fs::current_path("/");
  check_beside(place.root() / "beside");
  for (const auto& entry : fs::directory_iterator(place.root())) {
    const std::string name = entry.path().filename();
    require(name == "in" || name == "beside", "nothing came above");
  }
  if (options.only.empty()) return 0;
  for (const auto& entry : fs::directory_iterator(place.root() / "in")) {
    const std::string name = entry.path().filename();
    require(name == "there" || name == "door", "nothing came but what was asked for");
  }
  return 0;
}
