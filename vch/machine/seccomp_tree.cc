#include "vch/machine/seccomp_tree.h"

#include <linux/seccomp.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <span>

namespace vch {
namespace {

constexpr size_t kFarthest = 250;  // what a conditional jump can skip, and what may come before it
constexpr uint32_t kNumber = offsetof(seccomp_data, nr);
constexpr uint32_t kProcessor = offsetof(seccomp_data, arch);
constexpr uint32_t kArgument = offsetof(seccomp_data, args);

sock_filter statement(int code, uint32_t value) {
  return {static_cast<uint16_t>(code), 0, 0, value};
}

sock_filter jump(int comparison, uint32_t value, size_t if_true, size_t if_false) {
  return {static_cast<uint16_t>(BPF_JMP | comparison | BPF_K), static_cast<uint8_t>(if_true),
          static_cast<uint8_t>(if_false), value};
}

struct Range {
  uint32_t first = 0;
  std::optional<uint32_t> decision;
};

std::vector<Range> ranges_of(const SeccompCalls& calls) {
  std::vector<Range> out;
  for (uint32_t i = 0; i <= calls.decisions.size(); ++i) {
    const auto decision = i < calls.decisions.size() ? calls.decisions[i] : calls.newer;
    if (out.empty() || out.back().decision != decision) out.push_back({i, decision});
  }
  return out;
}

// Writes from the end to the beginning, so that what is jumped to is there already. A place is
// counted from the end.
class Writer {
 public:
  explicit Writer(const SeccompProgram& rest)
      : code_(rest.rbegin(), rest.rend()), rest_(code_.size() - 1) {}

  // Where a call of this processor begins.
  size_t processor(const SeccompCalls& calls) {
    known_.clear();
    const auto ranges = ranges_of(calls);
    const size_t tree = subtree(ranges, static_cast<uint32_t>(calls.decisions.size()) + 1);
    if (tree + 1 != code_.size()) add(jump_to(tree));
    const size_t begin = add(statement(BPF_LD | BPF_W | BPF_ABS, kNumber));
    return calls.rare ? add(statement(BPF_LD | BPF_W | BPF_ABS, kArgument)) : begin;
  }

  SeccompProgram finish(const std::vector<SeccompCalls>& processors,
                        const std::vector<size_t>& begins) {
    size_t next = rest_;
    for (size_t i = processors.size(); i-- > 0;) {
      next = compare(BPF_JEQ, processors[i].processor, begins[i], next);
    }
    if (next + 1 != code_.size()) add(jump_to(next));
    add(statement(BPF_LD | BPF_W | BPF_ABS, kProcessor));
    return {code_.rbegin(), code_.rend()};
  }

 private:
  size_t add(const sock_filter& instruction) {
    code_.push_back(instruction);
    return code_.size() - 1;
  }

  sock_filter jump_to(size_t place) const {
    return statement(BPF_JMP | BPF_JA, static_cast<uint32_t>(code_.size() - 1 - place));
  }

  size_t compare(int comparison, uint32_t value, size_t if_true, size_t if_false) {
    if_true = near(if_true);
    if_false = near(if_false);
    const size_t here = code_.size();
    return add(jump(comparison, value, here - 1 - if_true, here - 1 - if_false));
  }

  // Within reach of a comparison that is about to be written.
  size_t near(size_t place) {
    if (code_.size() - place <= kFarthest) return place;
    return add(code_[place].code == (BPF_RET | BPF_K) ? code_[place] : jump_to(place));
  }

  // The halves are alike in the number of calls, not of ranges: most calls are in a few of these.
  size_t subtree(std::span<const Range> ranges, uint32_t end) {
    if (ranges.size() == 1) return leaf(ranges[0]);
    const uint32_t middle = ranges[0].first + (end - ranges[0].first) / 2;
    const auto off = [middle](const Range& range) {
      return range.first > middle ? range.first - middle : middle - range.first;
    };
    const auto upper = std::min_element(ranges.begin() + 1, ranges.end(),
                                        [&](auto& one, auto& two) { return off(one) < off(two); });
    const auto count = static_cast<size_t>(upper - ranges.begin());
    const size_t if_true = subtree(ranges.subspan(count), end);
    const size_t if_false = subtree(ranges.first(count), upper->first);
    return compare(BPF_JGE, upper->first, if_true, if_false);
  }

  size_t leaf(const Range& range) {
    if (!range.decision) return rest_;
    const auto known = known_.find(*range.decision);
    if (known != known_.end() && code_.size() - known->second <= kFarthest) return known->second;
    return known_[*range.decision] = add(statement(BPF_RET | BPF_K, *range.decision));
  }

  SeccompProgram code_;  // the last instruction comes first
  size_t rest_ = 0;
  std::map<uint32_t, size_t> known_;  // where a decision was written last
};

}  // namespace

std::optional<uint32_t> decision_of(const SeccompProgram& program, uint32_t processor,
                                    uint32_t number) {
  uint32_t value = 0;
  for (size_t i = 0; i < program.size(); ++i) {
    const sock_filter& at = program[i];
    bool taken = false;
    switch (at.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (at.k != kNumber && at.k != kProcessor) return std::nullopt;
        value = at.k == kNumber ? number : processor;
        continue;
      case BPF_RET | BPF_K:
        return at.k;
      case BPF_JMP | BPF_JA:
        i += at.k;
        continue;
      case BPF_JMP | BPF_JEQ | BPF_K:
        taken = value == at.k;
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        taken = value > at.k;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        taken = value >= at.k;
        break;
      default:
        return std::nullopt;
    }
    i += taken ? at.jt : at.jf;
  }
  return std::nullopt;
}

SeccompProgram make_seccomp_tree(const std::vector<SeccompCalls>& processors,
                                 const SeccompProgram& rest) {
  Writer writer(rest);
  std::vector<size_t> begins(processors.size());
  for (size_t i = processors.size(); i-- > 0;) begins[i] = writer.processor(processors[i]);
  return writer.finish(processors, begins);
}

}  // namespace vch
