#include "protocol/stage.h"

#include <cerrno>

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

int exit_code_for(Stage stage, int errno_value) {
  if (stage != Stage::kFindProgram && stage != Stage::kExec) return 125;
  return errno_value == ENOENT || errno_value == ENOTDIR ? 127 : 126;
}

}  // namespace protocol
