#include <gtest/gtest.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "common/io.h"
#include "common/unique_fd.h"
#include "protocol/config.h"
#include "tether/link/upload.h"
#include "tether/upgrade/signature.h"
#include "tether/upgrade/upload.h"
#include "tether/upgrade/verify_main.h"

namespace tether {
namespace {

int any_number(void* /*context*/, unsigned char* out, size_t size) {
  static std::mt19937 generator(1);
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<unsigned char>(generator());
  return 0;
}

class SigningKey {
 public:
  explicit SigningKey(mbedtls_ecp_group_id curve = MBEDTLS_ECP_DP_SECP256R1) {
    mbedtls_pk_init(&key_);
    mbedtls_pk_setup(&key_, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    mbedtls_ecp_gen_key(curve, mbedtls_pk_ec(key_), any_number, nullptr);
  }
  ~SigningKey() { mbedtls_pk_free(&key_); }
  SigningKey(const SigningKey&) = delete;
  SigningKey& operator=(const SigningKey&) = delete;

  std::string shown() {
    std::array<unsigned char, 256> der{};
    const int size = mbedtls_pk_write_pubkey_der(&key_, der.data(), der.size());
    const auto length = static_cast<size_t>(size);
    return {reinterpret_cast<const char*>(der.data() + der.size() - length), length};
  }
  std::string sign(const std::string& text) {
    std::array<unsigned char, 32> digest{};
    mbedtls_sha256_ret(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                       digest.data(), 0);
    std::array<unsigned char, MBEDTLS_PK_SIGNATURE_MAX_SIZE> out{};
    size_t size = 0;
    mbedtls_pk_sign(&key_, MBEDTLS_MD_SHA256, digest.data(), digest.size(), out.data(), &size,
                    any_number, nullptr);
    return {reinterpret_cast<const char*>(out.data()), size};
  }

 private:
  mbedtls_pk_context key_;
};

common::UniqueFd file_of(const std::string& bytes) {
  common::UniqueFd fd(::memfd_create("test", MFD_CLOEXEC));
  EXPECT_TRUE(common::write_all(fd.get(), bytes, "test").has_value());
  return fd;
}

class VerifyTest : public testing::Test {
 protected:
  // As the link process makes it.
  common::UniqueFd uploaded(const std::string& signature) {
    Upload upload;
    const std::string id(16, 'u');
    for (size_t at = 0; at < agent_.size(); at += 100000) {
      EXPECT_TRUE(upload.add(id, at, std::string_view(agent_).substr(at, 100000)).has_value());
    }
    auto file = upload.finish(id, signature);
    EXPECT_TRUE(file.has_value()) << file.error().message();
    return std::move(*file);
  }
  int verify(const common::UniqueFd& upload, const std::string& key) {
    protocol::pb::ContainerVm config;
    config.set_upgrade_key(key);
    const auto config_file = file_of(config.SerializeAsString());
    program_ = file_of("");
    const auto done = copy_and_verify(upload.get(), config_file.get(), program_.get());
    return done.has_value() ? 0 : done.error().code.value();
  }
  std::string copy() {
    std::string out(kMostProgram, '\0');
    out.resize(static_cast<size_t>(::pread(program_.get(), out.data(), out.size(), 0)));
    return out;
  }

  SigningKey key_;
  std::string agent_ = std::string(350000, 'a') + "end";
  common::UniqueFd program_;
};

TEST_F(VerifyTest, WhatTheKeySignedIsCopied) {
  EXPECT_EQ(verify(uploaded(key_.sign(agent_)), key_.shown()), 0);
  EXPECT_EQ(copy(), agent_);
}

TEST_F(VerifyTest, AnotherKeysSignatureIsRejected) {
  SigningKey other;
  EXPECT_EQ(verify(uploaded(other.sign(agent_)), key_.shown()), EKEYREJECTED);
}

TEST_F(VerifyTest, AnotherFilesSignatureIsRejected) {
  EXPECT_EQ(verify(uploaded(key_.sign(agent_ + "x")), key_.shown()), EKEYREJECTED);
}

TEST_F(VerifyTest, EveryCutOrChangedByteOfASignatureIsRejected) {
  agent_.resize(1000);
  const std::string good = key_.sign(agent_);
  for (size_t i = 1; i < good.size(); ++i) {
    EXPECT_EQ(verify(uploaded(good.substr(0, i)), key_.shown()), EKEYREJECTED) << i;
  }
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_EQ(verify(uploaded(bad), key_.shown()), EKEYREJECTED) << i;
  }
  EXPECT_EQ(verify(uploaded(good + "x"), key_.shown()), EKEYREJECTED);
}

TEST_F(VerifyTest, WithoutAKeyOrWithOneThatIsNoneNothingIsAccepted) {
  const auto upload = uploaded(key_.sign(agent_));
  EXPECT_EQ(verify(upload, ""), EINVAL);
  std::string off_curve = key_.shown();
  off_curve.back() = static_cast<char>(off_curve.back() ^ 1);
  EXPECT_EQ(verify(upload, off_curve), EINVAL);
  EXPECT_EQ(verify(upload, SigningKey(MBEDTLS_ECP_DP_SECP384R1).shown()), EINVAL);
}

TEST_F(VerifyTest, AFileThatIsNoUploadIsRefused) {
  for (const std::string& bytes : {std::string(), std::string("abc"), std::string(4, '\0'),
                                   std::string(100, '\xff'), std::string("\1\0\0\0", 4)}) {
    EXPECT_EQ(verify(file_of(bytes), key_.shown()), EBADMSG) << bytes.size();
  }
  common::UniqueFd large = file_of("");
  ASSERT_EQ(::ftruncate(large.get(), kMostUpload + 1), 0);
  EXPECT_EQ(verify(large, key_.shown()), EFBIG);
}

TEST(Upload, PiecesComeInOrderAndARepeatedOneIsNoOther) {
  Upload upload;
  const std::string id(16, 'a');
  EXPECT_EQ(upload.add(id, 5, "x").error().code.value(), ESTALE);
  EXPECT_TRUE(upload.add(id, 0, "01234").has_value());
  EXPECT_TRUE(upload.add(id, 5, "56").has_value());
  EXPECT_TRUE(upload.add(id, 5, "56").has_value());
  EXPECT_EQ(upload.add(id, 9, "x").error().code.value(), ESTALE);
  EXPECT_EQ(upload.finish(std::string(16, 'b'), "s").error().code.value(), ESTALE);
  EXPECT_EQ(upload.finish(id, std::string(kMostSignature + 1, 's')).error().code.value(), EINVAL);
  const auto file = upload.finish(id, "sig");
  ASSERT_TRUE(file.has_value());
  std::string bytes(32, '\0');
  bytes.resize(static_cast<size_t>(::pread(file->get(), bytes.data(), bytes.size(), 0)));
  EXPECT_EQ(bytes, std::string("0123456sig\3\0\0\0", 14));
  EXPECT_EQ(upload.finish(id, "sig").error().code.value(), ESTALE);
}

TEST(Upload, AnotherOneTakesItsPlace) {
  Upload upload;
  EXPECT_TRUE(upload.add(std::string(16, 'a'), 0, "aaa").has_value());
  EXPECT_TRUE(upload.add(std::string(16, 'b'), 0, "b").has_value());
  EXPECT_EQ(upload.add(std::string(16, 'a'), 3, "aaa").error().code.value(), ESTALE);
  EXPECT_TRUE(upload.finish(std::string(16, 'b'), "sig").has_value());
}

TEST(Upload, MoreThanAnAgentMayHaveIsRefused) {
  Upload upload;
  const std::string id(16, 'a');
  const std::string piece(Upload::kMostPiece, 'x');
  EXPECT_EQ(upload.add(id, 0, piece + "x").error().code.value(), EINVAL);
  EXPECT_EQ(upload.add("short", 0, piece).error().code.value(), EINVAL);
  uint64_t at = 0;
  while (at + 2 * piece.size() <= kMostProgram) {
    ASSERT_TRUE(upload.add(id, at, piece).has_value());
    at += piece.size();
  }
  EXPECT_EQ(upload.add(id, at, piece).error().code.value(), EFBIG);
}

}  // namespace
}  // namespace tether
