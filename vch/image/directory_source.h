// A root file system directory becomes a squashfs disk, without extracting or copying it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/result.h"
#include "common/unique_fd.h"
#include "vch/image/file_tree.h"
#include "vch/image/progress.h"

namespace vch {

// Never leaves the directory: symbolic links are content. What cannot be read is an error that
// names it. Owners are as the host has them; host SELinux labels are left out.
class DirectorySource {
 public:
  // Reads names and attributes.
  static common::Result<DirectorySource> scan(const std::string& path);

  // Of everything that changes when the tree does: names, attributes, inode numbers, change times.
  // Costs no reading of contents, so it can tell that an earlier disk is still good.
  const std::string& fingerprint() const { return fingerprint_; }
  int64_t mtime() const { return tree_->node(FileTree::kRoot).meta.mtime; }

  // Reads the contents into a disk at `path`, which must not exist, and gives back a digest of all
  // that went into it. Refuses a file that changed since the scan.
  common::Result<std::string> write_disk(const std::string& path, const Progress& progress) const;

 private:
  struct Stamp {  // of a member, to tell that it has not changed
    uint64_t inode = 0;
    int64_t change_s = 0;
    int64_t change_ns = 0;
    bool operator==(const Stamp&) const = default;
  };
  class Scanner;
  class Copier;

  std::string path_;
  common::UniqueFd root_;
  std::unique_ptr<FileTree> tree_;
  std::vector<Stamp> stamps_;  // by member number
  std::string fingerprint_;
  uint64_t content_ = 0;  // bytes
};

}  // namespace vch
