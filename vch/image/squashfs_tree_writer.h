// The second half of a squashfs image: inodes, directories, owners and extended attributes.
#pragma once

#include <vector>

#include "common/result.h"
#include "vch/image/file_tree.h"
#include "vch/image/squashfs_file.h"

struct sqfs_inode_generic_t;

namespace vch {

class SquashfsTreeWriter {
 public:
  // `inodes`, by node: the block processor's for regular files with content, else null. All
  // arguments must outlive this.
  SquashfsTreeWriter(SquashfsFile& file, sqfs_compressor_t* compressor, sqfs_super_t& super,
                     const FileTree& tree, const std::vector<sqfs_inode_generic_t*>& inodes);
  ~SquashfsTreeWriter();
  SquashfsTreeWriter(const SquashfsTreeWriter&) = delete;
  SquashfsTreeWriter& operator=(const SquashfsTreeWriter&) = delete;

  // Inodes and directories; the fragment table comes behind it.
  common::Status write_tree();
  // Owners and extended attributes.
  common::Status write_tables();

 private:
  struct Library;
  common::Status check(int code) const;
  void number_nodes();
  common::Status write_directory(FileTree::Id id, FileTree::Id parent);
  common::Status write_leaf(FileTree::Id id);
  // Takes the inode's owner, times and attributes from the node, and writes it.
  common::Status write_inode(FileTree::Id id, sqfs_inode_generic_t* inode);
  common::Result<uint32_t> add_xattrs(const std::vector<Xattr>& xattrs);

  SquashfsFile& file_;
  sqfs_compressor_t* const compressor_;
  sqfs_super_t& super_;
  const FileTree& tree_;
  const std::vector<sqfs_inode_generic_t*>& inodes_;
  std::unique_ptr<Library> library_;
  std::vector<uint32_t> numbers_;     // inode number by node; 0: none yet
  std::vector<uint64_t> references_;  // where the inode lies
};

}  // namespace vch
