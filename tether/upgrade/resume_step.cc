#include "tether/upgrade/resume.h"

namespace tether {

void on_resume_step(ResumeStep /*step*/) {}

}  // namespace tether
