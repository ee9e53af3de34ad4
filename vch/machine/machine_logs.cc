#include "vch/machine/machine_logs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "common/io.h"
#include "vch/machine/qmp.h"

namespace vch {
namespace {

using common::Status;
using Json = nlohmann::json;

constexpr int kTimeoutMs = 1000;
constexpr const char* kSuspension = "journal.full";

// QEMU opens the file before it lets go of the other, between two writes of the guest's.
Status redirect(const Container& container, const char* id, const std::string& file) {
  ASSIGN_OR_RETURN(auto socket, connect_unix(container.directory, "qmp.sock"));
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::greet(std::move(socket), kTimeoutMs));
  RETURN_IF_ERROR(qmp.execute("qmp_capabilities", kTimeoutMs));
  // Not before: whoever begins to migrate it comes to this monitor, which has one client at a time,
  // between making the file and looking which one the journal's is.
  if (file != kSuspension && ::access(container.file(kMigrationRecord).c_str(), F_OK) == 0) {
    return common::make_error(EBUSY, "begin", file, "the machine migrates");
  }
  const Json backend = {{"type", "file"}, {"data", {{"out", file}, {"append", true}}}};
  return qmp.execute("chardev-change", kTimeoutMs, Json{{"id", id}, {"backend", backend}}.dump());
}

}  // namespace

Status rotate_journal(const Container& container, uint64_t newest) {
  return redirect(container, "journal", journal_file_name(newest + 1));
}

common::Result<common::UniqueFd> suspend_journal(const Container& container) {
  const std::string path = container.file(kSuspension);
  if (::mkfifo(path.c_str(), 0600) != 0 && errno != EEXIST) {
    return common::errno_error("make FIFO", path);
  }
  ASSIGN_OR_RETURN(auto reader, common::open_file(path, O_RDONLY | O_NONBLOCK));
  RETURN_IF_ERROR(redirect(container, "journal", kSuspension));
  return reader;
}

common::UniqueFd find_suspension(const Container& container) {
  auto reader = common::open_file(container.file(kSuspension), O_RDONLY | O_NONBLOCK);
  return reader.has_value() ? std::move(*reader) : common::UniqueFd();
}

void remove_suspension(const Container& container) {
  ::unlink(container.file(kSuspension).c_str());
}

Status rotate_console(const Container& container) {
  const std::string now = container.file("console.log");
  const std::string old = container.file("console.log.1");
  if (std::rename(now.c_str(), old.c_str()) != 0) return common::errno_error("rename", now);
  const Status redirected = redirect(container, "console", "console.log");
  if (redirected.has_error()) std::rename(old.c_str(), now.c_str());
  return redirected;
}

}  // namespace vch
