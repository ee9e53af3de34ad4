#include "vch/migration/source_machine.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/io.h"
#include "vch/machine/machine.h"
#include "vch/machine/qemu_command.h"
#include "vch/migration/target_command.h"
#include "vch/network/qemu_network.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;
using Json = nlohmann::json;

constexpr int kTimeoutMs = 10000;
constexpr size_t kMaxCommand = 4U << 20U;
constexpr std::string_view kHotDisk = "hot-";

Result<Json> ask(Qmp& qmp, const char* command, const Json& arguments = {}) {
  const std::string text = arguments.is_null() ? "" : arguments.dump();
  ASSIGN_OR_RETURN(const std::string answer, qmp.ask(command, kTimeoutMs, text));
  Json json = Json::parse(answer, nullptr, false);
  if (json.is_discarded()) return make_error(EPROTO, command, "QEMU");
  return json;
}

// QEMU may be a guest's by now: nothing that it says is taken for granted.
uint64_t number(const Json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  return found != object.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

std::string text(const Json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

Result<Json> property(Qmp& qmp, const std::string& path, const char* name) {
  return ask(qmp, "qom-get", {{"path", path}, {"property", name}});
}

Result<std::vector<std::string>> command_line(const Container& container) {
  const auto pid = machine_pid(container);
  if (!pid) return make_error(0, "migrate", container.spec.name, "it does not run");
  const std::string path = "/proc/" + std::to_string(*pid) + "/cmdline";
  ASSIGN_OR_RETURN(const std::string bytes, common::read_file(path, kMaxCommand));
  std::vector<std::string> words;
  for (size_t at = 0; at < bytes.size();) {
    const size_t end = std::min(bytes.find('\0', at), bytes.size());
    words.push_back(bytes.substr(at, end - at));
    at = end + 1;
  }
  if (words.empty()) return make_error(ESRCH, "read", path, "its machine has ended");
  return words;
}

Result<std::string> machine_type(Qmp& qmp) {
  ASSIGN_OR_RETURN(const Json type, property(qmp, "/machine", "type"));
  std::string name = type.is_string() ? type.get<std::string>() : "";
  constexpr std::string_view kSuffix = "-machine";
  if (name.ends_with(kSuffix)) name.resize(name.size() - kSuffix.size());
  if (name.empty()) return make_error(EPROTO, "ask for the type of", "QEMU's machine");
  return name;
}

Status add_cpus(Qmp& qmp, const std::set<std::string>& known, std::vector<std::string>& words) {
  ASSIGN_OR_RETURN(const Json slots, ask(qmp, "query-hotpluggable-cpus"));
  constexpr std::string_view kPlugged = "/machine/peripheral/";
  for (const Json& slot : slots) {
    const std::string path = text(slot, "qom-path");
    if (!path.starts_with(kPlugged)) continue;
    const std::string id = path.substr(kPlugged.size());
    if (known.contains(id)) continue;
    std::vector<std::string> options = {text(slot, "type"), "id=" + id};
    const Json props = slot.value("props", Json::object());
    for (const auto& [name, value] : props.items()) options.push_back(name + "=" + value.dump());
    words.insert(words.end(), {"-device", join_options(options)});
  }
  return {};
}

// As hot_disk.h plugs them.
Status add_disk(Qmp& qmp, const Container& container, const std::string& id,
                std::vector<std::string>& words) {
  const std::string serial = id.substr(kHotDisk.size());
  const auto& mounts = container.spec.volumes;
  const auto mount = std::find_if(mounts.begin(), mounts.end(),
                                  [&serial](const VolumeMount& m) { return m.serial == serial; });
  if (mount == mounts.end()) {
    return make_error(EOPNOTSUPP, "migrate", container.spec.name,
                      "disk " + serial + " was plugged in and belongs to no volume of it");
  }
  const std::string path = "/machine/peripheral/" + id;
  ASSIGN_OR_RETURN(const Json target, property(qmp, path, "scsi-id"));
  ASSIGN_OR_RETURN(const Json lun, property(qmp, path, "lun"));
  const std::string unmap = mount->read_only ? "off" : "unmap";
  words.insert(words.end(),
               {"-blockdev",
                "driver=raw,node-name=" + id + ",read-only=" + (mount->read_only ? "on" : "off") +
                    ",discard=unmap,detect-zeroes=" + unmap +
                    ",file.driver=file,file.aio=threads,file.filename=",
                "-device",
                "scsi-hd,id=" + id + ",bus=disks.0,drive=" + id + ",serial=" + serial +
                    ",channel=0,scsi-id=" + target.dump() + ",lun=" + lun.dump()});
  return {};
}

Status add_device(Qmp& qmp, const Container& container, const std::string& id,
                  SourceMachine& machine) {
  if (id.starts_with(kHotDisk)) return add_disk(qmp, container, id, machine.plugged);
  for (const NetworkAttachment& card : container.spec.networks) {
    if (nic_id(card) != id) continue;
    machine.cards.push_back(card);
    return {};
  }
  if (id.starts_with("cpu")) return {};
  return make_error(EOPNOTSUPP, "migrate", container.spec.name,
                    "device " + common::escape(id) + " was plugged in, which nobody here knows");
}

std::set<std::string> ids_in(const std::vector<std::string>& command) {
  std::set<std::string> ids;
  for (size_t i = 1; i < command.size(); ++i) {
    if (command[i - 1] == "-device") ids.insert(option_value(split_options(command[i]), "id"));
  }
  return ids;
}

}  // namespace

Result<SourceMachine> describe_machine(const Container& container) {
  SourceMachine machine;
  ASSIGN_OR_RETURN(machine.command, command_line(container));
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::open(container.directory, kTimeoutMs));
  ASSIGN_OR_RETURN(machine.type, machine_type(qmp));
  const auto known = ids_in(machine.command);
  ASSIGN_OR_RETURN(const Json devices, ask(qmp, "qom-list", {{"path", "/machine/peripheral"}}));
  for (const Json& device : devices) {
    // Beside the devices it has a property of its own.
    if (text(device, "type").starts_with("child<")) machine.devices.insert(text(device, "name"));
  }
  RETURN_IF_ERROR(add_cpus(qmp, known, machine.plugged));
  constexpr const char* kController = "disks";
  if (machine.devices.contains(kController) && !known.contains(kController)) {
    machine.plugged.insert(
        machine.plugged.end(),
        {"-device", std::string("virtio-scsi-pci,id=") + kController + ",bus=" + kDiskSlot});
  }
  for (const std::string& id : machine.devices) {
    if (known.contains(id) || id == kController) continue;
    RETURN_IF_ERROR(add_device(qmp, container, id, machine));
  }
  return machine;
}

Result<std::string> run_state(Qmp& qmp) {
  ASSIGN_OR_RETURN(const Json status, ask(qmp, "query-status"));
  return text(status, "status");
}

Result<MigrationProgress> migration_progress(Qmp& qmp) {
  ASSIGN_OR_RETURN(const Json answer, ask(qmp, "query-migrate"));
  MigrationProgress out;
  out.status = text(answer, "status");
  if (out.status.empty()) out.status = "none";
  out.error = common::escape(text(answer, "error-desc"));
  const Json ram = answer.is_object() ? answer.value("ram", Json()) : Json();
  out.transferred = number(ram, "transferred");
  out.remaining = number(ram, "remaining");
  out.total_ms = number(answer, "total-time");
  out.downtime_ms = number(answer, "downtime");
  return out;
}

}  // namespace vch
