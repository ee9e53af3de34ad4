// An agent that goes on, and then meets the fault that a file of the container's asks for.
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>

#include "tether/session/launch.h"
#include "tether/upgrade/resume.h"
#include "tether/version.h"

namespace tether {

constinit const std::string_view kVersion = "0.1.0-faults";

namespace {

std::string wanted() {
  std::string word;
  std::ifstream(std::string(kContainerRoot) + "/fault") >> word;
  return word;
}

void touch_nothing() { *static_cast<volatile int*>(nullptr) = 0; }

// NOLINTNEXTLINE(misc-no-recursion)
int without_end(volatile int* below) {
  volatile int here = *below + 1;
  if (here < 0) return here;
  return without_end(&here) + here;
}

}  // namespace

void on_resume_step(ResumeStep step) {
  const std::string fault = wanted();
  if (step == ResumeStep::kTakenOver) {
    if (fault == "memory" || fault == "twice") touch_nothing();
    if (fault == "abort") std::abort();
    if (fault == "exception") throw std::runtime_error("it would rather not");
    volatile int bottom = 0;
    if (fault == "stack") std::exit(without_end(&bottom));
  }
  if (step == ResumeStep::kSalvage && fault == "twice") touch_nothing();
  if (step == ResumeStep::kLoaded && fault == "back") touch_nothing();
}

}  // namespace tether
