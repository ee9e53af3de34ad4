#include "vch/cli/limit_flags.h"

namespace vch {

void add_limit_flags(CLI::App& command, LimitOptions& options) {
  command.add_option("-m,--memory", options.memory, "The machine's memory [256m]");
  command.add_option("--memory-max", options.memory_max,
                     "What --memory can be raised to while it runs [4 times it]");
  command.add_option("--memory-reservation", options.memory_reservation,
                     "What of it is taken away last");
  command.add_option("--cpus", options.cpus, "Processors, as 2 or 1.5 [1]");
  command.add_option("--cpus-max", options.cpus_max,
                     "What --cpus can be raised to while it runs [8]");
  command.add_option("-c,--cpu-shares", options.cpu_shares, "Its weight beside the agent's");
  command.add_option("--pids-limit", options.pids_limit,
                     "Most processes and threads; -1: what memory allows");
}

}  // namespace vch
