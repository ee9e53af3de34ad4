#include "vch/cli/bundle.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <ctime>
#include <memory>

#include "common/io.h"
#include "tar/handles.h"
#include "vch/cli/describe.h"
#include "vch/cli/version.h"
#include "vch/journal/event_text.h"
#include "vch/journal/journal_stream.h"
#include "vch/machine/container_journal.h"
#include "vch/machine/doctor.h"

namespace vch {
namespace {

using common::Result;
using common::Status;

constexpr size_t kMaxLog = 4U << 20U;  // of each, the newest

std::string or_why(const Result<std::string>& text) {
  return text.has_value() ? *text : "not to be had: " + text.error().message() + "\n";
}

Result<std::string> newest_part(const std::string& path) {
  ASSIGN_OR_RETURN(const auto fd, common::open_file(path, O_RDONLY));
  const off_t size = ::lseek(fd.get(), 0, SEEK_END);
  if (size < 0) return common::errno_error("read", path);
  const off_t from = std::max<off_t>(0, size - static_cast<off_t>(kMaxLog));
  std::string text(static_cast<size_t>(size - from), '\0');
  const ssize_t got = ::pread(fd.get(), text.data(), text.size(), from);
  if (got < 0) return common::errno_error("read", path);
  text.resize(static_cast<size_t>(got));
  return text;
}

Result<std::string> inspected(const Context& context, const Container& container) {
  ASSIGN_OR_RETURN(auto json, describe_container(context, container));
  for (auto& variable : json["Config"]["Env"]) {
    const std::string entry = variable.get<std::string>();
    variable = entry.substr(0, entry.find('=') + 1) + "...";
  }
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

Result<std::string> events(const Container& container) {
  ASSIGN_OR_RETURN(auto options, whole_journal(container));
  options.skip_output = true;
  ASSIGN_OR_RETURN(auto stream, JournalStream::open(container.directory, options));
  const EventSubject subject{container.spec.id, container.spec.name, container.spec.image};
  std::string text;
  for (;;) {
    ASSIGN_OR_RETURN(const auto entry, stream.next());
    if (!entry) return text;
    const auto wall_ns = static_cast<int64_t>(entry->record.wall_ns);
    if (entry->missing != 0) {
      text += event_line(subject, gap_event(entry->missing, wall_ns)) + "\n";
    }
    if (const auto event = event_of(entry->record)) text += event_line(subject, *event) + "\n";
  }
}

std::string host(const Context& context, const Container& container) {
  utsname about{};
  ::uname(&about);
  std::string text = std::string("vch ") + VCH_VERSION + ", " + about.sysname + " " +
                     about.release + " " + about.machine + "\n";
  const auto state = context.state();
  if (state.has_error()) return text + state.error().message() + "\n";
  for (const Finding& finding : examine_host(*state, container.spec.iso)) {
    text += finding.subject + ": " + finding.text;
    if (!finding.advice.empty()) text += "; " + finding.advice;
    text += "\n";
  }
  return text;
}

class BundleWriter {
 public:
  explicit BundleWriter(std::string folder) : folder_(std::move(folder)) {
    archive_write_set_format_pax_restricted(tar_.get());
  }
  bool open(int fd) { return archive_write_open_fd(tar_.get(), fd) == ARCHIVE_OK; }
  void add(const std::string& name, const std::string& content) {
    const tar::Entry entry(archive_entry_new());
    archive_entry_set_pathname(entry.get(), (folder_ + "/" + name).c_str());
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), 0644);
    archive_entry_set_mtime(entry.get(), std::time(nullptr), 0);
    archive_entry_set_size(entry.get(), static_cast<int64_t>(content.size()));
    good_ = good_ && archive_write_header(tar_.get(), entry.get()) == ARCHIVE_OK &&
            archive_write_data(tar_.get(), content.data(), content.size()) >= 0;
  }
  bool close() { return archive_write_close(tar_.get()) == ARCHIVE_OK && good_; }

 private:
  std::string folder_;
  tar::Handle tar_{archive_write_new()};
  bool good_ = true;
};

}  // namespace

Status write_bundle(const Context& context, const Container& container, const std::string& path) {
  const std::string making = path + ".part";
  ASSIGN_OR_RETURN(const auto fd,
                   common::open_file(making, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  BundleWriter bundle(container.spec.name);
  bool good = bundle.open(fd.get());
  bundle.add("inspect.json", or_why(inspected(context, container)));
  bundle.add("events.txt", or_why(events(container)));
  bundle.add("host.txt", host(context, container));
  for (const char* log : {"console.log", "qemu.log", "vsock.log"}) {
    const auto text = newest_part(container.file(log));
    if (text.has_error() && text.error().code == std::errc::no_such_file_or_directory) continue;
    bundle.add(log, or_why(text));
  }
  good = bundle.close() && good;
  if (!good || ::rename(making.c_str(), path.c_str()) != 0) {
    const auto failed = common::errno_error("write", path);
    ::unlink(making.c_str());
    return failed;
  }
  return {};
}

}  // namespace vch
