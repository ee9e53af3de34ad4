// One squashfs image from a FileTree and its files' contents, by libsquashfs: no root needed, the
// same input gives the same bytes whatever the number of processors. All calls block; compression
// runs on the library's own threads.
//
// Blocks of 128 KiB, lz4: docs/decisions.md has the figures. squashfs has whole seconds, from 1970
// to 2106; times outside are set to the nearest.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "vch/image/file_tree.h"
#include "vch/image/squashfs_file.h"

struct sqfs_inode_generic_t;

namespace vch {

struct SqfsDestroy {
  void operator()(void* object) const;
};
template <typename T>
using SqfsPtr = std::unique_ptr<T, SqfsDestroy>;

class SquashfsWriter {
 public:
  // Creates `path`, which must not exist; `node_count` as of the tree that finish() will get. On
  // failure here and below the file is left for the caller to remove.
  static common::Result<std::unique_ptr<SquashfsWriter>> create(const std::string& path,
                                                                size_t node_count);
  SquashfsWriter(const SquashfsWriter&) = delete;
  SquashfsWriter& operator=(const SquashfsWriter&) = delete;
  ~SquashfsWriter();

  // The content of one regular file, once for each that is not empty.
  common::Status begin_file(FileTree::Id id);
  common::Status append(std::string_view bytes);
  common::Status end_file();

  // Writes inodes, directories and tables, and syncs.
  common::Status finish(const FileTree& tree);

 private:
  SquashfsWriter() = default;
  common::Status set_up();
  common::Status check(int code) const;

  std::unique_ptr<SquashfsFile> file_;
  SqfsPtr<sqfs_compressor_t> compressor_;
  SqfsPtr<sqfs_compressor_t> reader_;
  SqfsPtr<sqfs_frag_table_t> fragments_;
  SqfsPtr<sqfs_block_writer_t> blocks_;
  std::unique_ptr<sqfs_super_t> super_;
  std::vector<sqfs_inode_generic_t*> inodes_;  // the block processor keeps their addresses
  SqfsPtr<sqfs_block_processor_t> processor_;
};

}  // namespace vch
