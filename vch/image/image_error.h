// Errors about what an image says, rather than about the system: no errno, one line.
#pragma once

#include <string>
#include <utility>

#include "common/result.h"

namespace vch {

// "WHERE: WHAT". An empty WHERE is for within() to fill.
inline common::Error image_error(std::string where, std::string what) {
  return common::make_error(0, std::move(where), "", std::move(what));
}

// Puts WHERE before an error about an image. An error of the system names its object already.
inline common::Error within(const std::string& where, common::Error error) {
  if (error.code) return error;
  return image_error(where, error.operation.empty() ? error.detail : error.message());
}

}  // namespace vch
