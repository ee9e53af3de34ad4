// The command line of the QEMU that a machine migrates to. It is made of the source's own, as the
// kernel has it, not of the container's description: that may have changed since the machine
// started, and so may the program that makes command lines of descriptions.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/result.h"

namespace vch {

struct TargetCommandInputs {
  std::vector<std::string> source;   // the command line that runs
  std::string machine_type;          // versioned, as "pc-q35-7.2": what "q35" meant when it started
  std::set<std::string> devices;     // the ids of those that the machine has now
  std::vector<std::string> plugged;  // options for those that came while it ran
  std::string journal;               // the journal's file
  int qmp_socket = -1;               // a listening descriptor that QEMU inherits
  std::map<std::string, std::string> disks;  // by the drive's id: its file at the target
  std::map<std::string, int> taps;           // by the netdev's id: an inherited descriptor
};

// Ports of the host are left out: they are the source's until it has ended. The machine waits for a
// migration, and then for `cont`. EOPNOTSUPP names an option that cannot be moved.
common::Result<std::vector<std::string>> target_command(const TargetCommandInputs& inputs);

// One of QEMU's option lists, "a,b=c,,d", as its members "a" and "b=c,d", and back.
std::vector<std::string> split_options(const std::string& list);
std::string join_options(const std::vector<std::string>& options);
// The value of a member; empty when there is none.
std::string option_value(const std::vector<std::string>& options, const std::string& name);

}  // namespace vch
