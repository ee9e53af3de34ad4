#include "vch/image/squashfs_tree_writer.h"

#include <sqfs/dir_writer.h>
#include <sqfs/error.h>
#include <sqfs/id_table.h>
#include <sqfs/inode.h>
#include <sqfs/meta_writer.h>
#include <sqfs/super.h>
#include <sqfs/xattr_writer.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>

#include "vch/image/image_error.h"
#include "vch/image/squashfs_writer.h"

namespace vch {
namespace {

using common::Result;
using common::Status;

constexpr uint32_t kNoXattrs = 0xffffffff;
constexpr uint32_t kNoFragment = 0xffffffff;
constexpr uint64_t kUnwritten = UINT64_MAX;

struct Free {
  void operator()(sqfs_inode_generic_t* inode) const { sqfs_free(inode); }
};
using Inode = std::unique_ptr<sqfs_inode_generic_t, Free>;

uint32_t device_number(const FileMeta& meta) {
  return (meta.device_minor & 0xffU) | (meta.device_major << 8U) |
         ((meta.device_minor & ~0xffU) << 12U);
}

// An inode for anything but a directory or a file with content.
Inode make_inode(const FileTree::Node& node) {
  const FileMeta& meta = node.meta;
  Inode inode(static_cast<sqfs_inode_generic_t*>(
      std::calloc(1, sizeof(sqfs_inode_generic_t) + meta.target.size())));
  if (inode == nullptr) return inode;
  switch (meta.mode & S_IFMT) {
    case S_IFLNK:
      inode->base.type = SQFS_INODE_SLINK;
      inode->data.slink.nlink = node.links;
      inode->data.slink.target_size = static_cast<uint32_t>(meta.target.size());
      std::copy(meta.target.begin(), meta.target.end(), reinterpret_cast<char*>(inode->extra));
      break;
    case S_IFCHR:
    case S_IFBLK:
      inode->base.type = S_ISCHR(meta.mode) ? SQFS_INODE_CDEV : SQFS_INODE_BDEV;
      inode->data.dev.nlink = node.links;
      inode->data.dev.devno = device_number(meta);
      break;
    case S_IFIFO:
    case S_IFSOCK:
      inode->base.type = S_ISFIFO(meta.mode) ? SQFS_INODE_FIFO : SQFS_INODE_SOCKET;
      inode->data.ipc.nlink = node.links;
      break;
    default:
      inode->base.type = SQFS_INODE_FILE;
      inode->data.file.fragment_index = kNoFragment;
      break;
  }
  return inode;
}

}  // namespace

struct SquashfsTreeWriter::Library {
  SqfsPtr<sqfs_id_table_t> ids;
  SqfsPtr<sqfs_xattr_writer_t> xattrs;
  SqfsPtr<sqfs_meta_writer_t> inode_table;
  SqfsPtr<sqfs_meta_writer_t> directory_table;
  SqfsPtr<sqfs_dir_writer_t> directory;
};

SquashfsTreeWriter::SquashfsTreeWriter(SquashfsFile& file, sqfs_compressor_t* compressor,
                                       sqfs_super_t& super, const FileTree& tree,
                                       const std::vector<sqfs_inode_generic_t*>& inodes)
    : file_(file),
      compressor_(compressor),
      super_(super),
      tree_(tree),
      inodes_(inodes),
      library_(std::make_unique<Library>()),
      numbers_(tree.node_count()),
      references_(tree.node_count(), kUnwritten) {}

SquashfsTreeWriter::~SquashfsTreeWriter() = default;

Status SquashfsTreeWriter::check(int code) const {
  return code == 0 ? Status() : Status(file_.error(code));
}

Status SquashfsTreeWriter::write_tree() {
  Library& library = *library_;
  library.ids.reset(sqfs_id_table_create(0));
  library.xattrs.reset(sqfs_xattr_writer_create(0));
  library.inode_table.reset(sqfs_meta_writer_create(file_.get(), compressor_, 0));
  library.directory_table.reset(
      sqfs_meta_writer_create(file_.get(), compressor_, SQFS_META_WRITER_KEEP_IN_MEMORY));
  if (library.directory_table != nullptr) {
    library.directory.reset(sqfs_dir_writer_create(library.directory_table.get(), 0));
  }
  if (library.ids == nullptr || library.xattrs == nullptr || library.inode_table == nullptr ||
      library.directory == nullptr) {
    return file_.error(SQFS_ERROR_ALLOC);
  }
  number_nodes();
  super_.inode_table_start = file_.get()->get_size(file_.get());
  RETURN_IF_ERROR(write_directory(FileTree::kRoot, FileTree::kRoot));
  super_.root_inode_ref = references_[FileTree::kRoot];
  RETURN_IF_ERROR(check(sqfs_meta_writer_flush(library.inode_table.get())));
  RETURN_IF_ERROR(check(sqfs_meta_writer_flush(library.directory_table.get())));
  super_.directory_table_start = file_.get()->get_size(file_.get());
  return check(sqfs_meta_write_write_to_file(library.directory_table.get()));
}

Status SquashfsTreeWriter::write_tables() {
  RETURN_IF_ERROR(
      check(sqfs_id_table_write(library_->ids.get(), file_.get(), &super_, compressor_)));
  return check(sqfs_xattr_writer_flush(library_->xattrs.get(), file_.get(), &super_, compressor_));
}

// A directory's children get neighbouring numbers, which keeps its listing small.
void SquashfsTreeWriter::number_nodes() {
  std::vector<FileTree::Id> directories = {FileTree::kRoot};
  uint32_t last = 1;
  numbers_[FileTree::kRoot] = last;
  for (size_t i = 0; i < directories.size(); ++i) {
    for (const auto& [name, child] : *tree_.node(directories[i]).children) {
      if (numbers_[child.node] == 0) numbers_[child.node] = ++last;
      if (tree_.node(child.node).children != nullptr) directories.push_back(child.node);
    }
  }
  super_.inode_count = last;
}

// Children first: an entry says where its inode lies. The depth is bounded by PATH_MAX.
Status SquashfsTreeWriter::write_directory(FileTree::Id id, FileTree::Id parent) {
  const FileTree::Node& node = tree_.node(id);
  uint32_t links = 2;
  for (const auto& [name, child] : *node.children) {
    if (tree_.node(child.node).children != nullptr) {
      RETURN_IF_ERROR(write_directory(child.node, id));
      ++links;
    } else if (references_[child.node] == kUnwritten) {
      RETURN_IF_ERROR(write_leaf(child.node));
    }
  }
  sqfs_dir_writer_t* writer = library_->directory.get();
  RETURN_IF_ERROR(check(sqfs_dir_writer_begin(writer, 0)));
  for (const auto& [name, child] : *node.children) {
    const auto mode = static_cast<uint16_t>(tree_.node(child.node).meta.mode);
    RETURN_IF_ERROR(check(sqfs_dir_writer_add_entry(writer, name.c_str(), numbers_[child.node],
                                                    references_[child.node], mode)));
  }
  RETURN_IF_ERROR(check(sqfs_dir_writer_end(writer)));
  ASSIGN_OR_RETURN(const uint32_t xattr, add_xattrs(node.meta.xattrs));
  const Inode inode(sqfs_dir_writer_create_inode(writer, 0, xattr, numbers_[parent]));
  if (inode == nullptr) return file_.error(SQFS_ERROR_ALLOC);
  // The library counts files too; programs take it for the number of subdirectories and two.
  const bool extended = inode->base.type == SQFS_INODE_EXT_DIR;
  (extended ? inode->data.dir_ext.nlink : inode->data.dir.nlink) = links;
  return write_inode(id, inode.get());
}

Status SquashfsTreeWriter::write_leaf(FileTree::Id id) {
  const FileTree::Node& node = tree_.node(id);
  ASSIGN_OR_RETURN(const uint32_t xattr, add_xattrs(node.meta.xattrs));
  Inode made;
  sqfs_inode_generic_t* inode = inodes_[id];
  if (inode == nullptr) {
    made = make_inode(node);
    inode = made.get();
  }
  if (inode == nullptr) return file_.error(SQFS_ERROR_ALLOC);
  if (S_ISREG(node.meta.mode) && node.links > 1) {
    RETURN_IF_ERROR(check(sqfs_inode_make_extended(inode)));
    inode->data.file_ext.nlink = node.links;
  }
  RETURN_IF_ERROR(check(sqfs_inode_set_xattr_index(inode, xattr)));
  return write_inode(id, inode);
}

Status SquashfsTreeWriter::write_inode(FileTree::Id id, sqfs_inode_generic_t* inode) {
  const FileMeta& meta = tree_.node(id).meta;
  sqfs_inode_t& base = inode->base;
  base.mode = static_cast<uint16_t>(meta.mode);
  base.mod_time = static_cast<uint32_t>(std::clamp<int64_t>(meta.mtime, 0, UINT32_MAX));
  base.inode_number = numbers_[id];
  const int uid = sqfs_id_table_id_to_index(library_->ids.get(), meta.uid, &base.uid_idx);
  const int gid = sqfs_id_table_id_to_index(library_->ids.get(), meta.gid, &base.gid_idx);
  if (uid == SQFS_ERROR_OVERFLOW || gid == SQFS_ERROR_OVERFLOW) {
    return image_error("the image", "has more than 65536 different owners and groups");
  }
  RETURN_IF_ERROR(check(uid));
  RETURN_IF_ERROR(check(gid));
  uint64_t block = 0;
  uint32_t offset = 0;
  sqfs_meta_writer_get_position(library_->inode_table.get(), &block, &offset);
  references_[id] = (block << 16U) | offset;
  return check(sqfs_meta_writer_write_inode(library_->inode_table.get(), inode));
}

Result<uint32_t> SquashfsTreeWriter::add_xattrs(const std::vector<Xattr>& xattrs) {
  if (xattrs.empty()) return kNoXattrs;
  sqfs_xattr_writer_t* writer = library_->xattrs.get();
  uint32_t index = kNoXattrs;
  RETURN_IF_ERROR(check(sqfs_xattr_writer_begin(writer, 0)));
  for (const Xattr& xattr : xattrs) {
    RETURN_IF_ERROR(check(
        sqfs_xattr_writer_add(writer, xattr.name.c_str(), xattr.value.data(), xattr.value.size())));
  }
  RETURN_IF_ERROR(check(sqfs_xattr_writer_end(writer, &index)));
  return index;
}

}  // namespace vch
