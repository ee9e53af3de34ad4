// An agent that can go on, as it says, and then never does.
#include "tether/upgrade/resume.h"
#include "tether/version.h"

namespace tether {

constinit const std::string_view kVersion = "0.1.0-hangs";

void on_resume_step(ResumeStep step) {
  for (volatile bool hang = step == ResumeStep::kLoaded; hang;) continue;
}

}  // namespace tether
