#include "tether/boot/boot_table.h"

#include <sys/mount.h>

#include <utility>

namespace tether {
namespace {

using Action = BootRow::Action;

int run_row(const BootRow& row, BootSystem& system) {
  switch (row.action) {
    case Action::kMount:
      return system.mount(row.source, row.target, row.type, row.flags, row.text);
    case Action::kDirectory:
      return system.make_directory(row.target, row.mode);
    case Action::kLink:
      return system.make_link(row.text, row.target);
    case Action::kDevice:
      return system.make_device(row.target, row.mode, row.major, row.minor);
    case Action::kWrite:
      return system.write_file(row.target, row.text);
    case Action::kOwner:
      return system.copy_owner(row.source, row.target);
    case Action::kEnterRoot:
      return system.enter_root(row.target);
    case Action::kLoopback:
      return system.loopback_up();
  }
  return EINVAL;
}

const char* operation(Action action) {
  switch (action) {
    case Action::kMount:
      return "mount";
    case Action::kDirectory:
      return "make directory";
    case Action::kLink:
      return "make link";
    case Action::kDevice:
      return "make device";
    case Action::kWrite:
      return "write";
    case Action::kOwner:
      return "set owner of";
    case Action::kEnterRoot:
      return "enter root";
    case Action::kLoopback:
      return "bring up";
  }
  return "do";
}

}  // namespace

BootRow mount_row(std::string type, std::string target, unsigned long flags, std::string options,
                  bool fatal) {
  BootRow row;
  row.action = Action::kMount;
  row.fatal = fatal;
  row.source = type;
  row.type = std::move(type);
  row.target = std::move(target);
  row.flags = flags;
  row.text = std::move(options);
  return row;
}

BootRow directory_row(std::string target, mode_t mode) {
  BootRow row;
  row.action = Action::kDirectory;
  row.target = std::move(target);
  row.mode = mode;
  return row;
}

BootRow link_row(std::string text, std::string target) {
  BootRow row;
  row.action = Action::kLink;
  row.fatal = false;
  row.target = std::move(target);
  row.text = std::move(text);
  return row;
}

BootRow write_row(std::string target, std::string text, bool fatal) {
  BootRow row;
  row.action = Action::kWrite;
  row.fatal = fatal;
  row.target = std::move(target);
  row.text = std::move(text);
  return row;
}

StageResult<void> run_rows(std::span<const BootRow> rows, BootSystem& system) {
  for (const BootRow& row : rows) {
    const int failed = run_row(row, system);
    if (failed == 0 || !row.fatal) continue;
    const std::string& object = row.object.empty() ? row.target : row.object;
    return StageError{row.stage,
                      common::make_error(failed, operation(row.action), object, row.hint)};
  }
  return {};
}

}  // namespace tether
