// An agent that finds when it is checked that it cannot go on.
#include <stdexcept>

#include "tether/upgrade/resume.h"
#include "tether/version.h"

namespace tether {

constinit const std::string_view kVersion = "0.1.0-refuses";

void on_resume_step(ResumeStep step) {
  if (step == ResumeStep::kCheck) throw std::runtime_error("it would rather not");
}

}  // namespace tether
