// SHA-256 as images write it: "sha256:" and 64 lower-case hex digits.
#pragma once

#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace vch {

class Sha256 {
 public:
  Sha256();
  void update(std::string_view bytes);
  // "sha256:HEX". Call once, at the end.
  std::string finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

std::string sha256_of(std::string_view bytes);
// Whether the text is "sha256:" and 64 lower-case hex digits, so that it may name a file.
bool is_sha256_digest(std::string_view text);
// The hex digits alone.
std::string hex_of(std::string_view digest);

}  // namespace vch
