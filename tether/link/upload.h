// Another agent, as it arrives in pieces.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/result.h"
#include "common/unique_fd.h"

namespace tether {

class Upload {
 public:
  static constexpr size_t kMostPiece = 512 * 1024;

  // Offset 0 begins anew, whatever there was. ESTALE: another upload, or another piece was to come;
  // EFBIG: more than an agent may have.
  common::Status add(const std::string& id, uint64_t offset, std::string_view data);
  // The file as tether/upgrade/upload.h has it; there is no upload afterwards. ESTALE: there was
  // none of this id; EINVAL: no signature can be so long.
  common::Result<common::UniqueFd> finish(const std::string& id, std::string_view signature);

 private:
  std::string id_;
  common::UniqueFd file_;
  uint64_t size_ = 0;
};

}  // namespace tether
