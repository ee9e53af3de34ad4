#include "tether/upgrade/verify_main.h"

#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <exception>
#include <string>

#include "common/io.h"
#include "protocol/config.h"
#include "tether/link/memory_file.h"
#include "tether/sandbox/sandbox.h"
#include "tether/upgrade/signature.h"
#include "tether/upgrade/upload.h"

namespace tether {
namespace {

constexpr uid_t kUser = 0x6ffd0000;  // beside the link process's
constexpr rlim_t kMemory = rlim_t{16} << 20U;
constexpr rlim_t kAddresses = rlim_t{256} << 20U;

constexpr sock_filter kFilter[] = {
#include "tether/verify_filter.inc"
};

Sandbox sandbox() {
  Sandbox out;
  out.user = kUser;
  out.descriptors = kVerifyProgramFd + 1;
  out.file_size = kMostProgram;
  out.data = kMemory;
  out.address_space = kAddresses;
  out.own_network = true;
  return out;
}

struct Parts {
  uint64_t program = 0;
  std::string signature;
};

common::Result<Parts> find_parts(int upload) {
  const auto bad = [](std::string why) {
    return common::make_error(EBADMSG, "read", "the upload", std::move(why));
  };
  struct stat about {};
  if (::fstat(upload, &about) != 0) return common::errno_error("look at", "the upload");
  const auto size = static_cast<uint64_t>(about.st_size);
  if (size > kMostUpload) return common::make_error(EFBIG, "read", "the upload");
  if (size < kSignatureLength) return bad("too short");
  std::array<unsigned char, kSignatureLength> digits{};
  const auto at = static_cast<off_t>(size - kSignatureLength);
  if (::pread(upload, digits.data(), digits.size(), at) != static_cast<ssize_t>(digits.size())) {
    return bad("cannot be read");
  }
  const uint32_t length =
      digits[0] | digits[1] << 8U | digits[2] << 16U | static_cast<uint32_t>(digits[3]) << 24U;
  if (length == 0 || length > kMostSignature || length >= size - kSignatureLength) {
    return bad("a signature of " + std::to_string(length) + " bytes");
  }
  Parts out;
  out.program = size - kSignatureLength - length;
  out.signature.resize(length);
  if (::pread(upload, out.signature.data(), length, static_cast<off_t>(out.program)) !=
      static_cast<ssize_t>(length)) {
    return bad("cannot be read");
  }
  return out;
}

common::Status copy(int from, int to, uint64_t size) {
  std::array<char, 16384> piece;
  for (uint64_t done = 0; done < size;) {
    const auto wanted = std::min<uint64_t>(piece.size(), size - done);
    const ssize_t n = ::pread(from, piece.data(), wanted, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return common::make_error(EBADMSG, "read", "the upload");
    RETURN_IF_ERROR(common::write_all(to, {piece.data(), static_cast<size_t>(n)}, "the agent"));
    done += static_cast<uint64_t>(n);
  }
  return {};
}

}  // namespace

// What is verified is the copy: the other one may change at any moment.
common::Status copy_and_verify(int upload, int config, int program) {
  ASSIGN_OR_RETURN(const Parts parts, find_parts(upload));
  RETURN_IF_ERROR(copy(upload, program, parts.program));
  ASSIGN_OR_RETURN(const std::string bytes,
                   read_memory_file(config, protocol::kMaxConfigSize, "configuration"));
  ASSIGN_OR_RETURN(const auto parsed, protocol::parse_config(bytes));
  return verify_file(parsed.upgrade_key(), parts.signature, program, parts.program);
}

void verify_main() {
  ::prctl(PR_SET_DUMPABLE, 0);
  int code = EIO;
  try {
    common::Status done = enter_sandbox(sandbox());
    if (done.has_value()) done = limit_calls(kFilter, -1);
    if (done.has_value()) {
      done = copy_and_verify(kVerifyUploadFd, kVerifyConfigFd, kVerifyProgramFd);
    }
    code = done.has_value() ? 0 : done.error().code.value();
  } catch (const std::exception&) {
  }
  ::_exit(code >= 0 && code < 256 ? code : EIO);
}

}  // namespace tether
