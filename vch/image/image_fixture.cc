#include "vch/image/image_fixture.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "common/io.h"
#include "vch/image/sha256.h"

namespace vch {
namespace {

constexpr size_t kBlock = 512;

std::string padded(std::string bytes) {
  bytes.resize((bytes.size() + kBlock - 1) / kBlock * kBlock, '\0');
  return bytes;
}

void put(std::string& header, size_t at, const std::string& text) {
  header.replace(at, text.size(), text);
}

std::string octal(uint64_t value, int digits) {
  char text[32];
  ::snprintf(text, sizeof text, "%0*llo", digits, static_cast<unsigned long long>(value));
  return text;
}

std::string header(const TarMember& member, const std::string& name, char type, size_t size) {
  std::string h(kBlock, '\0');
  put(h, 0, name.substr(0, 100));
  put(h, 100, octal(member.mode, 7));
  put(h, 108, octal(static_cast<uint64_t>(member.uid) & 07777777U, 7));
  put(h, 116, octal(static_cast<uint64_t>(member.gid) & 07777777U, 7));
  put(h, 124, octal(size, 11));
  put(h, 136, octal(0, 11));
  put(h, 148, "        ");
  h[156] = type;
  put(h, 157, member.link.substr(0, 100));
  put(h, 257, std::string("ustar\00000", 8));
  put(h, 329, octal(member.device_major, 7));
  put(h, 337, octal(member.device_minor, 7));
  unsigned sum = 0;
  for (const char c : h) sum += static_cast<unsigned char>(c);
  put(h, 148, octal(sum, 6) + std::string("\0 ", 2));
  return h;
}

std::string pax_record(const std::string& key, const std::string& value) {
  const std::string body = " " + key + "=" + value + "\n";
  size_t length = body.size() + 1;
  while (std::to_string(length).size() + body.size() != length) ++length;
  return std::to_string(length) + body;
}

std::string compress(const std::string& bytes, int (*add_filter)(archive*)) {
  archive* a = archive_write_new();
  archive_write_set_format_raw(a);
  add_filter(a);
  archive_write_set_filter_option(a, "gzip", "timestamp", nullptr);  // the same bytes each time
  std::string out(bytes.size() * 2 + 65536, '\0');
  size_t used = 0;
  archive_write_open_memory(a, out.data(), out.size(), &used);
  archive_entry* entry = archive_entry_new();
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_write_header(a, entry);
  EXPECT_EQ(archive_write_data(a, bytes.data(), bytes.size()),
            static_cast<la_ssize_t>(bytes.size()));
  archive_entry_free(entry);
  archive_write_free(a);
  out.resize(used);
  return out;
}

}  // namespace

TestDir::TestDir() : path_(testing::TempDir() + "vch-image-XXXXXX") {
  EXPECT_NE(::mkdtemp(path_.data()), nullptr);
}

TestDir::~TestDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string make_tar(const std::vector<TarMember>& members) {
  std::string tar;
  for (const TarMember& member : members) {
    auto records = member.pax;
    records["mtime"] = member.mtime;
    records["uid"] = std::to_string(member.uid);
    records["gid"] = std::to_string(member.gid);
    if (member.path.size() > 100 || member.path.find('\0') != std::string::npos) {
      records["path"] = member.path;
    }
    if (member.link.size() > 100 || member.link.find('\0') != std::string::npos) {
      records["linkpath"] = member.link;
    }
    std::string text;
    for (const auto& [key, value] : records) text += pax_record(key, value);
    tar += header({}, "pax", 'x', text.size()) + padded(text);
    tar += header(member, member.path, member.type, member.content.size());
    tar += padded(member.content);
  }
  return tar + std::string(2 * kBlock, '\0');
}

TarMember directory(const std::string& path, uint32_t mode) {
  TarMember member;
  member.path = path;
  member.type = '5';
  member.mode = mode;
  return member;
}

TarMember file(const std::string& path, const std::string& content) {
  TarMember member;
  member.path = path;
  member.content = content;
  return member;
}

TarMember symlink_to(const std::string& path, const std::string& target) {
  TarMember member;
  member.path = path;
  member.type = '2';
  member.link = target;
  member.mode = 0777;
  return member;
}

TarMember hard_link_to(const std::string& path, const std::string& target) {
  TarMember member;
  member.path = path;
  member.type = '1';
  member.link = target;
  return member;
}

std::string gzip(const std::string& bytes) {
  return compress(bytes, archive_write_add_filter_gzip);
}
std::string zstd(const std::string& bytes) {
  return compress(bytes, archive_write_add_filter_zstd);
}

void OciImage::add_layer(const std::string& tar) { add_layer(tar, gzip(tar)); }

void OciImage::add_layer(const std::string& tar, const std::string& stored) {
  config["rootfs"]["diff_ids"].push_back(sha256_of(tar));
  blobs.push_back(stored);
  media_types.emplace_back("application/vnd.oci.image.layer.v1.tar+gzip");
}

LayoutWriter::LayoutWriter(std::string directory) : directory_(std::move(directory)) {
  std::filesystem::create_directories(directory_ + "/blobs/sha256");
  write_text(directory_ + "/oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
}

Json LayoutWriter::add_blob(const std::string& bytes, const std::string& media_type) {
  const std::string digest = sha256_of(bytes);
  Json descriptor = {{"mediaType", media_type}, {"digest", digest}, {"size", bytes.size()}};
  write_text(blob_path(descriptor), bytes);
  return descriptor;
}

Json LayoutWriter::add_image(const OciImage& image) {
  Json layers = Json::array();
  for (size_t i = 0; i < image.blobs.size(); ++i) {
    layers.push_back(add_blob(image.blobs[i], image.media_types[i]));
  }
  const Json config = add_blob(image.config.dump(), "application/vnd.oci.image.config.v1+json");
  const Json manifest = {{"schemaVersion", 2}, {"config", config}, {"layers", layers}};
  return add_blob(manifest.dump(), "application/vnd.oci.image.manifest.v1+json");
}

Json LayoutWriter::add_index(const std::vector<Json>& manifests) {
  const Json index = {{"schemaVersion", 2}, {"manifests", manifests}};
  return add_blob(index.dump(), "application/vnd.oci.image.index.v1+json");
}

void LayoutWriter::write_index(const std::vector<Json>& manifests) {
  const Json index = {{"schemaVersion", 2}, {"manifests", manifests}};
  write_text(directory_ + "/index.json", index.dump());
}

std::string LayoutWriter::blob_path(const Json& descriptor) const {
  return directory_ + "/blobs/sha256/" + hex_of(descriptor["digest"].get<std::string>());
}

Json tagged(Json descriptor, const std::string& tag) {
  descriptor["annotations"]["org.opencontainers.image.ref.name"] = tag;
  return descriptor;
}

Json for_platform(Json descriptor, const std::string& architecture) {
  descriptor["platform"] = {{"os", "linux"}, {"architecture", architecture}};
  return descriptor;
}

std::string write_layout(const std::string& directory,
                         const std::vector<std::vector<TarMember>>& layers) {
  OciImage image;
  for (const auto& members : layers) image.add_layer(make_tar(members));
  LayoutWriter writer(directory);
  writer.write_index({writer.add_image(image)});
  return "oci:" + directory;
}

std::vector<std::string> paths_of(const Disk& disk) {
  std::vector<std::string> paths;
  for (const auto& [path, file] : disk) {
    if (path != "/") paths.push_back(path);
  }
  return paths;
}

void write_text(const std::string& path, const std::string& text) {
  const auto status = common::write_file_atomically(path, text);
  ASSERT_FALSE(status.has_error()) << status.error().message();
}

std::string read_text(const std::string& path) {
  const auto text = common::read_file(path, size_t{1} << 30U);
  return text.has_error() ? text.error().message() : *text;
}

std::string output_of(const std::string& command) {
  std::string output;
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) {
    ADD_FAILURE() << command;
    return output;
  }
  char buffer[4096];
  for (size_t n = 0; (n = ::fread(buffer, 1, sizeof buffer, pipe)) > 0;) output.append(buffer, n);
  EXPECT_EQ(::pclose(pipe), 0) << command << "\n" << output;
  return output;
}

std::vector<std::string> list_directory(const std::string& path) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(path, ignored)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace vch
