#include "vch/machine/seccomp_profile.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "common/unique_fd.h"
#include "vch/machine/seccomp_rules.h"
#include "vch/machine/seccomp_tree.h"

namespace vch {
namespace {

using Context = std::unique_ptr<void, decltype(&seccomp_release)>;

constexpr size_t kMostInstructions = BPF_MAXINSNS;
constexpr size_t kMostExported = 16 * kMostInstructions;
constexpr const char* kTooLong = "more than 4096 instructions; give fewer rules";

struct Processor {
  uint32_t libseccomps = 0;
  uint32_t kernels = 0;
};
constexpr Processor kX86_64 = {SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64};
constexpr Processor kI386 = {SCMP_ARCH_X86, AUDIT_ARCH_I386};
// i386's calls that stand for many; libseccomp knows which.
constexpr uint32_t kSocketCall = 102;
constexpr uint32_t kIpc = 117;

SeccompProgram exported(const Context& context) {
  const common::UniqueFd file(::memfd_create("filter", MFD_CLOEXEC));
  SeccompProgram program(kMostExported);
  const bool made = file && seccomp_export_bpf(context.get(), file.get()) == 0;
  const size_t most = program.size() * sizeof(sock_filter);
  const ssize_t size = made ? ::pread(file.get(), program.data(), most, 0) : -1;
  if (size <= 0) throw BadSeccompProfile("libseccomp made no program of it");
  if (static_cast<size_t>(size) == most) throw BadSeccompProfile(kTooLong);
  program.resize(static_cast<size_t>(size) / sizeof(sock_filter));
  return program;
}

class Compiler {
 public:
  Compiler(SeccompRules rules, NewerCalls newer) : rules_(std::move(rules)), newer_(newer) {
    if (rules_.i386) processors_.push_back(kI386);
    for (const std::string& name : rules_.names) {
      for (const Processor& one : processors_) newest_ = std::max(newest_, number(one, name));
    }
  }

  SeccompProgram compile() { return shortened(build(rules_.rules)); }

 private:
  static int number(const Processor& processor, const std::string& name) {
    return seccomp_syscall_resolve_name_arch(processor.libseccomps, name.c_str());
  }

  SeccompProgram build(const std::vector<SeccompRule>& rules) const {
    const Context context(seccomp_init(rules_.default_action), seccomp_release);
    if (context == nullptr) throw BadSeccompProfile("defaultAction cannot be honoured");
    seccomp_arch_remove(context.get(), SCMP_ARCH_NATIVE);
    for (const Processor& one : processors_) seccomp_arch_add(context.get(), one.libseccomps);
    for (const SeccompRule& rule : rules) {
      const int call = seccomp_syscall_resolve_name(rule.name.c_str());
      if (call == __NR_SCMP_ERROR) continue;
      for (const auto& choice : rule.choices) {
        const int failed = seccomp_rule_add_array(
            context.get(), rule.action, call, static_cast<unsigned>(choice.size()), choice.data());
        // EEXIST: it says what another one has said.
        if (failed == 0 || failed == -EEXIST) continue;
        throw BadSeccompProfile("the rule for '" + rule.name +
                                "' cannot be honoured: " + std::strerror(-failed));
      }
    }
    return exported(context);
  }

  // Since Linux 5.1 all processors give a new call the same number.
  std::optional<uint32_t> newer_calls() const {
    if (newer_ == NewerCalls::kAsDefault) return rules_.default_action;
    const uint32_t kind = rules_.default_action & SECCOMP_RET_ACTION_FULL;
    const bool refuses = kind == SECCOMP_RET_ERRNO || kind == SECCOMP_RET_TRAP ||
                         kind == SECCOMP_RET_KILL_THREAD || kind == SECCOMP_RET_KILL_PROCESS;
    if (refuses && newest_ >= 0) return SECCOMP_RET_ERRNO | ENOSYS;
    return std::nullopt;
  }

  // libseccomp's program decides step by step what most often depends on the number alone; those
  // decisions come first, by ranges, and its program is made again for what is left.
  SeccompProgram shortened(const SeccompProgram& whole) const {
    std::vector<SeccompCalls> all;
    for (const Processor& one : processors_) {
      SeccompCalls calls{one.kernels, {}, newer_calls(), one.kernels == AUDIT_ARCH_I386};
      for (int i = 0; i <= newest_; ++i) {
        calls.decisions.push_back(decision_of(whole, one.kernels, static_cast<uint32_t>(i)));
      }
      all.push_back(std::move(calls));
    }
    std::vector<SeccompRule> left;
    for (const SeccompRule& rule : rules_.rules) {
      if (is_left(rule.name, all)) left.push_back(rule);
    }
    return make_seccomp_tree(all, build(left));
  }

  bool is_left(const std::string& name, const std::vector<SeccompCalls>& all) const {
    for (size_t i = 0; i < processors_.size(); ++i) {
      const auto open = [&](uint32_t call) {
        return call < all[i].decisions.size() && !all[i].decisions[call];
      };
      const int own = number(processors_[i], name);
      if (own >= 0 && open(static_cast<uint32_t>(own))) return true;
      const bool i386 = processors_[i].kernels == AUDIT_ARCH_I386;
      if (i386 && (open(kSocketCall) || open(kIpc))) return true;
    }
    return false;
  }

  SeccompRules rules_;
  NewerCalls newer_;
  std::vector<Processor> processors_ = {kX86_64};
  int newest_ = -1;
};

}  // namespace

common::Result<std::string> compile_seccomp_profile(std::string_view json,
                                                    const std::string& object,
                                                    uint64_t capabilities, NewerCalls newer) {
  try {
    const auto program = Compiler(read_seccomp_rules(json, capabilities), newer).compile();
    if (program.size() > kMostInstructions) throw BadSeccompProfile(kTooLong);
    return std::string(reinterpret_cast<const char*>(program.data()),
                       program.size() * sizeof(sock_filter));
  } catch (const BadSeccompProfile& bad) {
    return common::make_error(EINVAL, "seccomp profile", object, bad.what());
  }
}

}  // namespace vch
