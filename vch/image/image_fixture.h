// For tests: making images, good and bad, and reading disks back.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/result.h"
#include "vch/image/json_fields.h"

namespace vch {

// A directory that goes with the test.
class TestDir {
 public:
  TestDir();
  ~TestDir();
  TestDir(const TestDir&) = delete;
  TestDir& operator=(const TestDir&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A tar archive written by hand, so that it can be wrong in any way.
struct TarMember {
  std::string path;
  char type = '0';
  std::string content;
  std::string link;
  uint32_t mode = 0644;
  int64_t uid = 0;
  int64_t gid = 0;
  std::string mtime = "1000000000";  // pax notation
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  std::map<std::string, std::string> pax;  // more records
};
std::string make_tar(const std::vector<TarMember>& members);
TarMember directory(const std::string& path, uint32_t mode = 0755);
TarMember file(const std::string& path, const std::string& content = "x");
TarMember symlink_to(const std::string& path, const std::string& target);
TarMember hard_link_to(const std::string& path, const std::string& target);

std::string gzip(const std::string& bytes);
std::string zstd(const std::string& bytes);

// An OCI layout in the making. Everything may be changed before write().
struct OciImage {
  Json config = Json::parse(R"({"architecture":"amd64","os":"linux",
      "created":"2024-05-01T00:00:00Z","config":{"Cmd":["/bin/sh"]},
      "rootfs":{"type":"layers","diff_ids":[]}})");
  std::vector<std::string> blobs;        // layers as stored
  std::vector<std::string> media_types;  // of the layers
  void add_layer(const std::string& tar);
  void add_layer(const std::string& tar, const std::string& stored);
};
// Blobs and descriptors of one layout directory.
class LayoutWriter {
 public:
  explicit LayoutWriter(std::string directory);
  Json add_blob(const std::string& bytes, const std::string& media_type);
  Json add_image(const OciImage& image);  // its manifest's descriptor
  Json add_index(const std::vector<Json>& manifests);
  void write_index(const std::vector<Json>& manifests);
  std::string blob_path(const Json& descriptor) const;

 private:
  std::string directory_;
};
Json tagged(Json descriptor, const std::string& tag);
Json for_platform(Json descriptor, const std::string& architecture);
// One image of these layers, each gzipped; gives back "oci:DIRECTORY".
std::string write_layout(const std::string& directory,
                         const std::vector<std::vector<TarMember>>& layers);

struct DiskFile {
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t mtime = 0;
  uint32_t links = 0;
  uint32_t inode = 0;
  uint32_t device = 0;  // as squashfs encodes it
  std::string target;
  std::string content;
  std::map<std::string, std::string> xattrs;
};
// Everything on a squashfs disk by path, "/" the root.
using Disk = std::map<std::string, DiskFile>;
Disk read_disk(const std::string& path);
std::vector<std::string> paths_of(const Disk& disk);  // without "/"

void write_text(const std::string& path, const std::string& text);
std::string read_text(const std::string& path);
// What a program writes to stdout; its failure fails the test.
std::string output_of(const std::string& command);
std::vector<std::string> list_directory(const std::string& path);

// The error's line, or "ok".
template <typename T>
std::string message_of(const common::Result<T>& result) {
  return result.has_error() ? result.error().message() : "ok";
}

}  // namespace vch
