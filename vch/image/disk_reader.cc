// read_disk of image_fixture.h, by libsquashfs's readers.
#include <sqfs/compressor.h>
#include <sqfs/data_reader.h>
#include <sqfs/dir_reader.h>
#include <sqfs/error.h>
#include <sqfs/id_table.h>
#include <sqfs/inode.h>
#include <sqfs/io.h>
#include <sqfs/super.h>
#include <sqfs/xattr.h>
#include <sqfs/xattr_reader.h>
#include <sys/stat.h>

#include <cstdlib>
#include <memory>

#include "vch/image/image_fixture.h"

namespace vch {
namespace {

struct Destroy {
  void operator()(void* object) const { sqfs_destroy(object); }
};
template <typename T>
using Ptr = std::unique_ptr<T, Destroy>;

class Reader {
 public:
  explicit Reader(const std::string& path) { read(path); }

  Disk take_disk() { return std::move(disk_); }

 private:
  void read(const std::string& path) {
    file_.reset(sqfs_open_file(path.c_str(), SQFS_FILE_OPEN_READ_ONLY));
    if (file_ == nullptr) return fail("open " + path);
    if (sqfs_super_read(&super_, file_.get()) != 0) return fail("super block");
    sqfs_compressor_config_t config;
    sqfs_compressor_t* compressor = nullptr;
    sqfs_compressor_config_init(&config, SQFS_COMPRESSOR(super_.compression_id), super_.block_size,
                                SQFS_COMP_FLAG_UNCOMPRESS);
    if (sqfs_compressor_create(&config, &compressor) != 0) return fail("compressor");
    compressor_.reset(compressor);
    ids_.reset(sqfs_id_table_create(0));
    if (sqfs_id_table_read(ids_.get(), file_.get(), &super_, compressor) != 0) return fail("ids");
    directories_.reset(sqfs_dir_reader_create(&super_, compressor, file_.get(), 0));
    data_.reset(sqfs_data_reader_create(file_.get(), super_.block_size, compressor, 0));
    if (sqfs_data_reader_load_fragment_table(data_.get(), &super_) != 0) return fail("fragments");
    xattrs_.reset(sqfs_xattr_reader_create(0));
    if (sqfs_xattr_reader_load(xattrs_.get(), &super_, file_.get(), compressor) != 0) {
      return fail("xattrs");
    }
    sqfs_tree_node_t* root = nullptr;
    if (sqfs_dir_reader_get_full_hierarchy(directories_.get(), ids_.get(), nullptr, 0, &root) !=
        0) {
      return fail("directories");
    }
    take(*root, "/");
    sqfs_dir_tree_destroy(root);
  }

  void fail(const std::string& what) { ADD_FAILURE() << "cannot read disk: " << what; }

  void take(const sqfs_tree_node_t& node, const std::string& path) {
    const sqfs_inode_generic_t& inode = *node.inode;
    DiskFile& file = disk_[path];
    file.mode = inode.base.mode;
    file.uid = node.uid;
    file.gid = node.gid;
    file.mtime = inode.base.mod_time;
    file.inode = inode.base.inode_number;
    take_type(inode, file);
    take_xattrs(inode, file);
    const std::string below = path == "/" ? path : path + "/";
    for (const sqfs_tree_node_t* child = node.children; child != nullptr; child = child->next) {
      take(*child, below + reinterpret_cast<const char*>(child->name));
    }
  }

  void take_type(const sqfs_inode_generic_t& inode, DiskFile& file) {
    const auto& data = inode.data;
    const auto* extra = reinterpret_cast<const char*>(inode.extra);
    switch (inode.base.type) {
      case SQFS_INODE_DIR:
        file.links = data.dir.nlink;
        break;
      case SQFS_INODE_EXT_DIR:
        file.links = data.dir_ext.nlink;
        break;
      case SQFS_INODE_FILE:
      case SQFS_INODE_EXT_FILE:
        file.links = inode.base.type == SQFS_INODE_FILE ? 1 : data.file_ext.nlink;
        file.content = content_of(inode);
        break;
      case SQFS_INODE_SLINK:
        file.links = data.slink.nlink;
        file.target.assign(extra, data.slink.target_size);
        break;
      case SQFS_INODE_EXT_SLINK:
        file.links = data.slink_ext.nlink;
        file.target.assign(extra, data.slink_ext.target_size);
        break;
      case SQFS_INODE_BDEV:
      case SQFS_INODE_CDEV:
      case SQFS_INODE_EXT_BDEV:
      case SQFS_INODE_EXT_CDEV:
        file.links = data.dev.nlink;
        file.device = data.dev.devno;
        break;
      default:
        file.links = data.ipc.nlink;
        break;
    }
  }

  std::string content_of(const sqfs_inode_generic_t& inode) {
    sqfs_u64 size = 0;
    sqfs_inode_get_file_size(&inode, &size);
    std::string content(size, '\0');
    for (size_t done = 0; done < size;) {
      const size_t step = std::min<size_t>(size - done, 1U << 20U);
      const auto n = sqfs_data_reader_read(data_.get(), &inode, done, content.data() + done,
                                           static_cast<sqfs_u32>(step));
      if (n <= 0) {
        fail("content");
        break;
      }
      done += static_cast<size_t>(n);
    }
    return content;
  }

  void take_xattrs(const sqfs_inode_generic_t& inode, DiskFile& file) {
    sqfs_u32 index = 0;
    if (sqfs_inode_get_xattr_index(&inode, &index) != 0 || index == 0xffffffff) return;
    sqfs_xattr_id_t id;
    if (sqfs_xattr_reader_get_desc(xattrs_.get(), index, &id) != 0) return fail("xattr");
    sqfs_xattr_reader_seek_kv(xattrs_.get(), &id);
    for (size_t i = 0; i < id.count; ++i) {
      sqfs_xattr_entry_t* key = nullptr;
      sqfs_xattr_value_t* value = nullptr;
      if (sqfs_xattr_reader_read_key(xattrs_.get(), &key) != 0) return fail("xattr key");
      if (sqfs_xattr_reader_read_value(xattrs_.get(), key, &value) != 0) return fail("xattr value");
      file.xattrs[reinterpret_cast<const char*>(key->key)] =
          std::string(reinterpret_cast<const char*>(value->value), value->size);
      sqfs_free(key);
      sqfs_free(value);
    }
  }

  Ptr<sqfs_file_t> file_;
  sqfs_super_t super_{};
  Ptr<sqfs_compressor_t> compressor_;
  Ptr<sqfs_id_table_t> ids_;
  Ptr<sqfs_dir_reader_t> directories_;
  Ptr<sqfs_data_reader_t> data_;
  Ptr<sqfs_xattr_reader_t> xattrs_;
  Disk disk_;
};

}  // namespace

Disk read_disk(const std::string& path) { return Reader(path).take_disk(); }

}  // namespace vch
