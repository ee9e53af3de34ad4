#include "tether/supervisor/group_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "common/unique_fd.h"

namespace tether {
namespace {

constexpr int kMostDepth = 16;
constexpr int kMostGroups = 4096;

// linux_dirent64: number, offset, length, type, name.
constexpr size_t kLengthAt = 16;
constexpr size_t kTypeAt = 18;
constexpr size_t kNameAt = 19;

// Each of the controllers that it shares out, with a minus before its name.
void share_out_nothing(int directory) {
  const common::UniqueFd file(::openat(directory, "cgroup.subtree_control", O_RDWR | O_CLOEXEC));
  std::array<char, 256> text{};
  const ssize_t n = file ? ::read(file.get(), text.data(), text.size()) : 0;
  std::string_view rest(text.data(), n > 0 ? static_cast<size_t>(n) : 0);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find_first_of(" \n"), rest.size());
    std::array<char, 64> word{};
    word[0] = '-';
    rest.substr(0, end).copy(&word[1], word.size() - 2);
    if (end > 0) (void)!::write(file.get(), word.data(), std::strlen(word.data()));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
}

void clear(int directory, int depth, int& left) {
  std::array<char, 2048> entries{};
  for (;;) {
    const long n = ::syscall(SYS_getdents64, directory, entries.data(), entries.size());
    if (n <= 0) break;
    for (size_t at = 0; at + kNameAt < static_cast<size_t>(n);) {
      const char* name = &entries[at + kNameAt];
      const bool group = entries[at + kTypeAt] == DT_DIR && name[0] != '.';
      uint16_t length = 0;
      std::memcpy(&length, &entries[at + kLengthAt], sizeof length);
      at += length;
      if (!group || depth == 0 || left-- <= 0) continue;
      const common::UniqueFd child(
          ::openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (child) clear(child.get(), depth - 1, left);
      ::unlinkat(directory, name, AT_REMOVEDIR);
    }
  }
  share_out_nothing(directory);
}

}  // namespace

void clear_group_tree(int directory) {
  // One of its own, at the beginning of the list.
  const common::UniqueFd own(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  int left = kMostGroups;
  if (own) clear(own.get(), kMostDepth, left);
}

}  // namespace tether
