// An agent that can go on, as it says, and meets a fault when it does.
#include "tether/upgrade/resume.h"
#include "tether/version.h"

namespace tether {

constinit const std::string_view kVersion = "0.1.0-crashes";

void on_resume_step(ResumeStep step) {
  if (step == ResumeStep::kLoaded) *static_cast<volatile int*>(nullptr) = 0;
}

}  // namespace tether
