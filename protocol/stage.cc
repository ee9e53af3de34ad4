#include "protocol/stage.h"

#include <cerrno>

#include "common/result.h"

namespace protocol {

std::string_view stage_name(Stage stage) {
  switch (stage) {
    case Stage::kNone:
      return "none";
    case Stage::kEarlyMounts:
      return "early mounts";
    case Stage::kReadConfig:
      return "read config";
    case Stage::kParseConfig:
      return "parse config";
    case Stage::kCheckConfig:
      return "check config";
    case Stage::kFindDisk:
      return "find disk";
    case Stage::kMountImage:
      return "mount image";
    case Stage::kMountWritable:
      return "mount writable disk";
    case Stage::kMountRoot:
      return "mount root";
    case Stage::kMountVolume:
      return "mount volume";
    case Stage::kContainerFiles:
      return "container files";
    case Stage::kStartLink:
      return "start link";
    case Stage::kNamespaces:
      return "namespaces";
    case Stage::kCgroup:
      return "cgroup";
    case Stage::kUser:
      return "user";
    case Stage::kWorkingDirectory:
      return "working directory";
    case Stage::kStdio:
      return "stdio";
    case Stage::kFindProgram:
      return "find program";
    case Stage::kExec:
      return "exec";
    case Stage::kCapabilities:
      return "capabilities";
    case Stage::kShutdown:
      return "shutdown";
    case Stage::kInternal:
      return "internal";
    case Stage::kFindInterface:
      return "find network interface";
    case Stage::kConfigureInterface:
      return "configure network interface";
    case Stage::kLease:
      return "get DHCP lease";
    case Stage::kFirewall:
      return "set up firewall";
  }
  return "unknown stage";
}

std::string_view stage_hint(Stage stage) {
  switch (stage) {
    case Stage::kNone:
      break;
    case Stage::kEarlyMounts:
      return "the kernel lacks something: start it with the ISO's own";
    case Stage::kReadConfig:
      return "give the machine a configuration, see docs/config.md";
    case Stage::kParseConfig:
      return "the configuration is of another version, or damaged: create the container anew";
    case Stage::kCheckConfig:
      return "`vch config validate` names every such field";
    case Stage::kFindDisk:
      return "attach a disk with this serial, or wait longer: disk_timeout_ms";
    case Stage::kMountImage:
      return "the image is damaged, or of another kind: import it again";
    case Stage::kMountWritable:
      return "the container's own disk is damaged: create the container anew";
    case Stage::kMountRoot:
      return "the container's own disk may be full or damaged";
    case Stage::kMountVolume:
      return "`vch volume check` looks at a volume; the path must be free for a directory";
    case Stage::kContainerFiles:
      return "the image may have something else in its place, or its disk be full";
    case Stage::kStartLink:
      return "give the machine the ports and devices that `links` names";
    case Stage::kNamespaces:
      return "see --sysctl and masked and read-only paths; else memory may be short";
    case Stage::kCgroup:
      return "want a larger machine, or no such limit";
    case Stage::kUser:
      return "want a user and group of the image, or numbers";
    case Stage::kWorkingDirectory:
      return "want a directory of the image, or one that can be made";
    case Stage::kStdio:
      return "want more memory, or fewer sessions at a time";
    case Stage::kFindProgram:
      return "want a program of the image by its path, or from PATH; may it be executed?";
    case Stage::kExec:
      return "want a program of this machine's kind, whose interpreter is in the image";
    case Stage::kCapabilities:
      return "see --cap-add, --security-opt and --privileged";
    case Stage::kShutdown:
      return "look at the disks: `vch volume check`";
    case Stage::kInternal:
      return "a limit (--ulimit) may be too high, or memory short; else it is the agent's fault";
    case Stage::kFindInterface:
      return "attach a card with this address, or wait longer: interface_timeout_ms";
    case Stage::kConfigureInterface:
      return "see the keys of --network";
    case Stage::kLease:
      return "is there a DHCP server on this network? `ip=` does without";
    case Stage::kFirewall:
      return "the kernel may lack nf_tables; `policy=open` does without";
  }
  return {};
}

std::string failure_text(Stage stage, int errno_value, std::string_view object) {
  const std::string_view hint = object.ends_with(')') ? std::string_view() : stage_hint(stage);
  return common::make_error(errno_value, std::string(stage_name(stage)), std::string(object),
                            std::string(hint))
      .message();
}

int exit_code_for(Stage stage, int errno_value) {
  if (stage != Stage::kFindProgram && stage != Stage::kExec) return 125;
  return errno_value == ENOENT || errno_value == ENOTDIR ? 127 : 126;
}

}  // namespace protocol
