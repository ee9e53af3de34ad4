// A hook of the stage `early` that stays: outside of the container, root beside PID 1, it looks
// again and again what of two texts lies in the memory of PID 1 and of the link process.
// tests/vm/memory_test.py writes the texts into this program's file, and reads what it says on the
// first serial port:
//   memory-reader: ROUND pid1 KEY ID PSS link KEY ID PSS ssh PSS ...
// how often each text was found, and each process's proportional share of memory in KiB; "ssh" once
// for each login.
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "common/io.h"
#include "common/unique_fd.h"
#include "staying_hook.h"

namespace {

constexpr size_t kPiece = size_t{1} << 20U;
constexpr size_t kPage = 4096;
constexpr long kPauseNs = 200000000;

// Volatile, so that they are read from where the test wrote them.
volatile const char key_place[] = "KEY-PLACE-KEY-PLACE-KEY-PLACE-32";
volatile const char id_place[] = "ID-PLACE-ID-PLACE-ID-PLACE-ID-PLACE-ID-PLACE-ID-PLACE-ID-PLAC-64";

template <size_t N>
std::string copy_of(const volatile char (&place)[N]) {
  std::string text;
  for (size_t i = 0; i + 1 < N; ++i) text += place[i];
  return text;
}

struct Found {
  unsigned key = 0, id = 0;
};

unsigned count(std::string_view memory, const std::string& text) {
  unsigned found = 0;
  for (size_t at = memory.find(text); at != memory.npos; at = memory.find(text, at + 1)) ++found;
  return found;
}

struct Process {
  int memory, pages;
};

class Reader {
 public:
  Found look_at(const std::string& process) {
    Found found;
    const auto maps = common::read_file("/proc/" + process + "/maps", kPiece);
    const auto memory = common::open_file("/proc/" + process + "/mem", O_RDONLY);
    const auto pages = common::open_file("/proc/" + process + "/pagemap", O_RDONLY);
    if (maps.has_error() || memory.has_error() || pages.has_error()) return found;
    for (const char* line = maps->c_str(); *line != '\0';) {
      uint64_t begin = 0;
      uint64_t end = 0;
      char readable = '-';
      if (std::sscanf(line, "%lx-%lx %c", &begin, &end, &readable) == 3 && readable == 'r') {
        look_at_range({memory->get(), pages->get()}, begin, end, found);
      }
      const std::string_view rest(line);
      line += std::min(rest.find('\n') + 1, rest.size());
    }
    return found;
  }

 private:
  // Only pages that the process has: to read others would give them to it.
  void look_at_range(const Process& process, uint64_t begin, uint64_t end, Found& found) {
    std::string text;
    for (uint64_t at = begin; at < end; at += kPage) {
      uint64_t page = 0;
      const auto place = static_cast<off_t>(at / kPage * sizeof page);
      if (::pread(process.pages, &page, sizeof page, place) != sizeof page || (page >> 63U) == 0 ||
          ::pread(process.memory, buffer_.data(), kPage, static_cast<off_t>(at)) !=
              ssize_t{kPage}) {
        count_all(text, found);
        text.clear();
        continue;
      }
      text.append(buffer_.data(), kPage);
    }
    count_all(text, found);
  }
  void count_all(const std::string& text, Found& found) const {
    found.key += count(text, key_);
    found.id += count(text, id_);
  }

  const std::string key_ = copy_of(key_place), id_ = copy_of(id_place);
  std::array<char, kPage> buffer_{};
};

unsigned pss_kib(const std::string& process) {
  const auto use = common::read_file("/proc/" + process + "/smaps_rollup", kPiece);
  const size_t at = use.has_value() ? use->find("\nPss:") : std::string::npos;
  return at == std::string::npos ? 0 : static_cast<unsigned>(std::atoi(use->c_str() + at + 5));
}

std::string told(const char* who, const std::string& process, const Found& found) {
  return std::string(" ") + who + " " + std::to_string(found.key) + " " + std::to_string(found.id) +
         " " + std::to_string(pss_kib(process));
}

[[noreturn]] void look_for_ever() {
  const common::UniqueFd line(::open("/dev/ttyS0", O_WRONLY | O_NOCTTY));
  Reader reader;
  for (unsigned round = 1;; ++round) {
    std::string text =
        "memory-reader: " + std::to_string(round) + told("pid1", "1", reader.look_at("1"));
    for (const std::string& link : staying_hook::processes("link"))
      text += told("link", link, reader.look_at(link));
    for (const std::string& login : staying_hook::processes("ssh"))
      text += " ssh " + std::to_string(pss_kib(login));
    text += '\n';
    (void)!::write(line.get(), text.data(), text.size());
    const timespec pause{0, kPauseNs};
    ::nanosleep(&pause, nullptr);
  }
}

}  // namespace

int main() {
  int exit_code = 0;
  if (!staying_hook::stay(exit_code)) return exit_code;
  look_for_ever();
}
