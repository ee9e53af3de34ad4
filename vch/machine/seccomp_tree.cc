#include "vch/machine/seccomp_tree.h"

#include <linux/seccomp.h>

#include <algorithm>
#include <cstddef>
#include <span>

namespace vch {
namespace {

constexpr size_t kFarthest = 255;  // what a conditional jump can skip
constexpr uint32_t kNumber = offsetof(seccomp_data, nr);
constexpr uint32_t kProcessor = offsetof(seccomp_data, arch);

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

class Writer {
 public:
  void tree(std::span<const Range> ranges) {
    if (ranges.size() == 1) return leaf(ranges[0]);
    const auto upper = ranges.subspan(ranges.size() / 2);
    Writer lower;
    lower.tree(ranges.first(ranges.size() / 2));
    if (lower.code_.size() <= kFarthest) {
      code_.push_back(jump(BPF_JGE, upper[0].first, lower.code_.size(), 0));
    } else {
      code_.push_back(jump(BPF_JGE, upper[0].first, 0, 1));
      code_.push_back(statement(BPF_JMP | BPF_JA, static_cast<uint32_t>(lower.code_.size())));
    }
    append(lower);
    tree(upper);
  }

  void processor(const SeccompCalls& calls) {
    Writer block;
    block.code_.push_back(statement(BPF_LD | BPF_W | BPF_ABS, kNumber));
    block.tree(ranges_of(calls));
    code_.push_back(jump(BPF_JEQ, calls.processor, 1, 0));
    code_.push_back(statement(BPF_JMP | BPF_JA, static_cast<uint32_t>(block.code_.size())));
    append(block);
  }

  void load_processor() { code_.push_back(statement(BPF_LD | BPF_W | BPF_ABS, kProcessor)); }

  // `rest` comes right behind.
  SeccompProgram finish(const SeccompProgram& rest) {
    for (const size_t place : open_)
      code_[place].k = static_cast<uint32_t>(code_.size() - place - 1);
    code_.insert(code_.end(), rest.begin(), rest.end());
    return std::move(code_);
  }

 private:
  void leaf(const Range& range) {
    if (!range.decision) open_.push_back(code_.size());
    code_.push_back(range.decision ? statement(BPF_RET | BPF_K, *range.decision)
                                   : statement(BPF_JMP | BPF_JA, 0));
  }

  void append(const Writer& other) {
    for (const size_t place : other.open_) open_.push_back(code_.size() + place);
    code_.insert(code_.end(), other.code_.begin(), other.code_.end());
  }

  SeccompProgram code_;
  std::vector<size_t> open_;  // jumps to the rest
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
  Writer writer;
  writer.load_processor();
  for (const SeccompCalls& calls : processors) writer.processor(calls);
  return writer.finish(rest);
}

}  // namespace vch
