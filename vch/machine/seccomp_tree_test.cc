#include "vch/machine/seccomp_tree.h"

#include <gtest/gtest.h>
#include <linux/seccomp.h>

#include <random>

#include "vch/machine/seccomp_interpreter.h"

namespace vch {
namespace {

constexpr uint32_t kRest = 0x7777;

SeccompProgram rest() { return {{BPF_RET | BPF_K, 0, 0, kRest}}; }

SeccompCalls random_calls(uint32_t processor, size_t count, unsigned choices) {
  std::mt19937 generator(processor);
  SeccompCalls calls{processor, {}, 1};
  for (size_t i = 0; i < count; ++i) {
    const auto drawn = static_cast<uint32_t>(generator() % choices);
    if (drawn == 0) {
      calls.decisions.emplace_back();
    } else {
      calls.decisions.emplace_back(drawn);
    }
  }
  return calls;
}

void expect_decisions(const SeccompProgram& program, const SeccompCalls& calls) {
  for (uint32_t i = 0; i < calls.decisions.size(); ++i) {
    ASSERT_EQ(decision_of(program, calls.processor, i), calls.decisions[i].value_or(kRest)) << i;
  }
  const auto count = static_cast<uint32_t>(calls.decisions.size());
  EXPECT_EQ(decision_of(program, calls.processor, count), calls.newer.value_or(kRest));
  EXPECT_EQ(decision_of(program, calls.processor, UINT32_MAX), calls.newer.value_or(kRest));
}

TEST(SeccompTree, DecidesAsItWasTold) {
  for (const unsigned choices : {2U, 3U, 50U}) {  // the last has jumps that are far
    const auto one = random_calls(1, 500, choices);
    auto other = random_calls(2, 700, choices);
    other.newer.reset();
    const auto program = make_seccomp_tree({one, other}, rest());
    expect_decisions(program, one);
    expect_decisions(program, other);
    EXPECT_EQ(decision_of(program, 3, 0), kRest);
  }
}

TEST(SeccompTree, ARareProcessorIsDecidedAboutAsWellButNotByTheNumberAlone) {
  const auto usual = random_calls(1, 500, 3);
  auto rare = random_calls(2, 700, 3);
  rare.rare = true;
  const auto program = make_seccomp_tree({usual, rare}, rest());
  expect_decisions(program, usual);
  for (uint32_t i = 0; i < rare.decisions.size(); ++i) {
    ASSERT_FALSE(decision_of(program, rare.processor, i)) << i;
    seccomp_data call{};
    call.arch = rare.processor;
    call.nr = static_cast<int>(i);
    ASSERT_EQ(interpret(program, call), rare.decisions[i].value_or(kRest)) << i;
  }
}

TEST(SeccompTree, ADecisionIsWrittenOnceWhereItCanBeReached) {
  SeccompCalls calls{1, {}, 1};
  for (uint32_t i = 0; i < 100; ++i) calls.decisions.emplace_back(i % 2);
  // Two loads, a comparison for the processor, 100 for the ranges, two decisions, and the rest.
  EXPECT_LE(make_seccomp_tree({calls}, rest()).size(), 107U);
  expect_decisions(make_seccomp_tree({calls}, rest()), calls);
}

TEST(SeccompTree, WhatManyCallsHaveInCommonIsFoundInFewSteps) {
  SeccompCalls calls{1, {}, 0};
  for (uint32_t i = 0; i < 64; ++i) calls.decisions.emplace_back(i % 2);
  calls.decisions.insert(calls.decisions.end(), 1000, 2U);
  seccomp_data call{};
  call.arch = calls.processor;
  call.nr = 500;
  size_t steps = 0;
  EXPECT_EQ(interpret(make_seccomp_tree({calls}, rest()), call, &steps), 2U);
  EXPECT_EQ(steps, 6U);  // two loads, the processor, both ends of the range, the decision
}

TEST(SeccompTree, NeighboursThatAgreeAreOne) {
  SeccompCalls calls{1, {}, 5};
  calls.decisions.assign(400, SECCOMP_RET_ALLOW);
  EXPECT_LT(make_seccomp_tree({calls}, rest()).size(), 10U);
}

TEST(SeccompTree, WhatLooksAtArgumentsHasNoDecision) {
  const SeccompProgram program = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, args)},
                                  {BPF_RET | BPF_K, 0, 0, kRest}};
  EXPECT_FALSE(decision_of(program, 1, 1));
}

}  // namespace
}  // namespace vch
