#include "tether/link/upload.h"

#include <sys/mman.h>
#include <sys/types.h>

#include <cerrno>

#include "common/io.h"
#include "tether/upgrade/upload.h"

namespace tether {
namespace {

constexpr size_t kIdSize = 16;

common::Error refuse(int errno_value, std::string why) {
  return common::make_error(errno_value, "upload", "the agent", std::move(why));
}

}  // namespace

common::Status Upload::add(const std::string& id, uint64_t offset, std::string_view data) {
  if (id.size() != kIdSize) return refuse(EINVAL, "want an id of 16 bytes");
  if (data.size() > kMostPiece) return refuse(EINVAL, "a piece of more than 512 KiB");
  if (offset == 0) {
    file_.reset(::memfd_create("upload", MFD_CLOEXEC));
    if (!file_) return refuse(errno, "no memory for it");
    id_ = id;
    size_ = 0;
  }
  if (file_ && id == id_ && offset != 0 && offset + data.size() == size_) return {};  // Repeated.
  if (!file_ || id != id_ || offset != size_) return refuse(ESTALE, "send it from its beginning");
  const uint64_t room = kMostUpload - kMostSignature - kSignatureLength - size_;
  if (data.size() > room) {
    file_.reset();
    return refuse(EFBIG, "more than 8 MiB");
  }
  if (common::write_all(file_.get(), data, "upload").has_error()) {
    file_.reset();
    return refuse(ENOMEM, "no memory for it");
  }
  size_ += data.size();
  return {};
}

common::Result<common::UniqueFd> Upload::finish(const std::string& id, std::string_view signature) {
  if (!file_ || id != id_) return refuse(ESTALE, "send it from its beginning");
  if (signature.empty() || signature.size() > kMostSignature) {
    return refuse(EINVAL, "a signature of " + std::to_string(signature.size()) + " bytes");
  }
  common::UniqueFd file = std::move(file_);
  std::string tail(signature);
  const auto length = static_cast<uint32_t>(signature.size());
  for (unsigned shift = 0; shift < 32; shift += 8) tail += static_cast<char>(length >> shift);
  RETURN_IF_ERROR(common::write_all(file.get(), tail, "upload"));
  return file;
}

}  // namespace tether
