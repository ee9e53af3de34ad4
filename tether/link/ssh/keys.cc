#include "tether/link/ssh/keys.h"

#include <cerrno>
#include <string_view>

namespace tether {
namespace {

// The next word of the line, off its beginning.
std::string take_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  const size_t end = std::min(line.find_first_of(" \t\r"), line.size());
  std::string word(line.substr(0, end));
  line.remove_prefix(end);
  return word;
}

}  // namespace

common::Result<SshKey> parse_host_key(const std::string& text) {
  ssh_key key = nullptr;
  if (ssh_pki_import_privkey_base64(text.c_str(), nullptr, nullptr, nullptr, &key) != SSH_OK) {
    return common::make_error(EBADMSG, "parse", "secrets.ssh_host_key", "want a key of OpenSSH's");
  }
  SshKey owned(key);
  if (ssh_key_type(key) != SSH_KEYTYPE_ED25519) {
    return common::make_error(EINVAL, "parse", "secrets.ssh_host_key", "want an Ed25519 key");
  }
  return owned;
}

std::vector<SshKey> parse_authorized_keys(const std::string& text) {
  std::vector<SshKey> out;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::string type = take_word(line);
    const std::string base64 = take_word(line);
    ssh_key key = nullptr;
    const auto known = ssh_key_type_from_name(type.c_str());
    if (known == SSH_KEYTYPE_UNKNOWN || base64.empty()) continue;
    if (ssh_pki_import_pubkey_base64(base64.c_str(), known, &key) == SSH_OK) out.emplace_back(key);
  }
  return out;
}

std::string fingerprint(ssh_key key) {
  unsigned char* hash = nullptr;
  size_t size = 0;
  if (ssh_get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash, &size) != SSH_OK) return "?";
  char* text = ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, size);
  std::string out = text == nullptr ? "?" : text;
  ssh_string_free_char(text);
  ssh_clean_pubkey_hash(&hash);
  return out;
}

}  // namespace tether
