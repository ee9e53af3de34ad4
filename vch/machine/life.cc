#include "vch/machine/life.h"

#include <nlohmann/json.hpp>

#include "common/io.h"
#include "vch/network/network_json.h"

namespace vch {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxFile = 64 * 1024;

common::Status write_life(const Container& container, const Life& life) {
  const Json json = {{"journal_file", life.journal.file},
                     {"journal_offset", life.journal.offset},
                     {"accelerator", life.accelerator},
                     {"vsock_cid", life.vsock_cid},
                     {"ports", life.ports},
                     {"qemu_log", life.qemu_log},
                     {"crashes", life.crashes},
                     {"killed", life.killed},
                     {"again", life.again}};
  return common::write_file_atomically(container.file("life.json"), json.dump() + "\n", 0600);
}

common::Result<std::optional<Life>> read_life(const Container& container) {
  const std::string path = container.file("life.json");
  const auto text = common::read_file(path, kMaxFile);
  if (text.has_error()) {
    if (text.error().code == std::errc::no_such_file_or_directory) return std::optional<Life>();
    return text.error();
  }
  try {
    const Json json = Json::parse(*text);
    Life life;
    life.journal.file = json.value("journal_file", life.journal.file);
    life.journal.offset = json.at("journal_offset").get<uint64_t>();
    life.accelerator = json.at("accelerator").get<std::string>();
    life.vsock_cid = json.value("vsock_cid", life.vsock_cid);
    life.ports = json.value("ports", life.ports);
    life.qemu_log = json.value("qemu_log", life.qemu_log);
    life.crashes = json.value("crashes", life.crashes);
    life.killed = json.value("killed", life.killed);
    life.again = json.value("again", life.again);
    return std::optional<Life>(life);
  } catch (const Json::exception&) {
    return common::make_error(EBADMSG, "read", path, "damaged; the next start writes it anew");
  }
}

}  // namespace vch
