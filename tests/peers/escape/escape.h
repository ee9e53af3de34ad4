// What a root, fully privileged container may try against the agent of its machine: one function an
// attempt, which gives what came of it in a word or two ("EPERM", "opened vport0p1").
#pragma once

#include <span>
#include <string>

namespace escape {

struct Attempt {
  const char* name;
  std::string (*make)();
};

std::span<const Attempt> secret_attempts();   // the configuration and the key
std::span<const Attempt> device_attempts();   // links, journal, console, watchdog
std::span<const Attempt> process_attempts();  // the agent's processes
std::span<const Attempt> namespace_attempts();
std::span<const Attempt> kernel_attempts();  // ways into the kernel, or to its helpers
std::span<const Attempt> group_attempts();   // control groups and mounts
std::span<const Attempt> exhausting_attempts();
std::span<const Attempt> launching_attempts();  // end with stdin

// What an attempt would have the kernel start, outside: this program, by its path there. Its trace
// lies where it is seen from within.
inline constexpr const char* kHelper = "/run/tether/root/escape";
bool leave_trace();  // in the helper
bool has_trace();    // in the container

// "EPERM"; of 0 "ok".
std::string error_name(int error);
// What open(2) says, the file closed again.
std::string try_open(const std::string& path, int flags);
std::string try_write(const std::string& path, const std::string& text);
// A system call's end.
std::string try_call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                     long f = 0);
// Of at most 1 MiB; empty when there is none.
std::string content_of(const std::string& path);
// Makes a node and opens it: "mknod EPERM", "EPERM", "ENXIO", "ok".
std::string try_device(char kind, unsigned major, unsigned minor);
// The number behind the name in /proc/devices; 0: none.
unsigned major_of(const std::string& driver);
// A mount of its own for this process, at a new directory. Empty: `error` says why.
std::string mounted(const char* type, const char* options, std::string& error);

}  // namespace escape
