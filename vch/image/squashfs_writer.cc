#include "vch/image/squashfs_writer.h"

#include <sched.h>
#include <sqfs/block_processor.h>
#include <sqfs/block_writer.h>
#include <sqfs/compressor.h>
#include <sqfs/error.h>
#include <sqfs/frag_table.h>
#include <sqfs/inode.h>
#include <sqfs/super.h>

#include <algorithm>

#include "vch/image/squashfs_tree_writer.h"

namespace vch {
namespace {

using common::Result;
using common::Status;

constexpr uint32_t kBlockSize = 128 * 1024;
constexpr uint32_t kBacklogPerWorker = 10;
constexpr int kMaxWorkers = 16;

// libsquashfs's lz4 keeps a block that grew by compression, which unsquashfs then refuses: this
// leaves it no room to grow.
struct ShrinkingCompressor {
  sqfs_compressor_t base;
  SqfsPtr<sqfs_compressor_t> inner;
};

sqfs_compressor_t* inner_of(const sqfs_compressor_t* compressor) {
  return reinterpret_cast<const ShrinkingCompressor*>(compressor)->inner.get();
}

sqfs_compressor_t* make_shrinking(SqfsPtr<sqfs_compressor_t> inner) {
  if (inner == nullptr) return nullptr;
  auto* own = new ShrinkingCompressor{{}, std::move(inner)};
  own->base.base.destroy = [](sqfs_object_t* object) {
    delete reinterpret_cast<ShrinkingCompressor*>(object);
  };
  own->base.base.copy = [](const sqfs_object_t* object) -> sqfs_object_t* {
    const auto* from = reinterpret_cast<const sqfs_compressor_t*>(object);
    SqfsPtr<sqfs_compressor_t> copy(static_cast<sqfs_compressor_t*>(sqfs_copy(inner_of(from))));
    return reinterpret_cast<sqfs_object_t*>(make_shrinking(std::move(copy)));
  };
  own->base.get_configuration = [](const sqfs_compressor_t* self,
                                   sqfs_compressor_config_t* config) {
    inner_of(self)->get_configuration(inner_of(self), config);
  };
  own->base.write_options = [](sqfs_compressor_t* self, sqfs_file_t* file) {
    return inner_of(self)->write_options(inner_of(self), file);
  };
  own->base.read_options = [](sqfs_compressor_t* self, sqfs_file_t* file) {
    return inner_of(self)->read_options(inner_of(self), file);
  };
  own->base.do_block = [](sqfs_compressor_t* self, const sqfs_u8* in, sqfs_u32 size, sqfs_u8* out,
                          sqfs_u32 out_size) -> sqfs_s32 {
    if (size < 2) return 0;
    return inner_of(self)->do_block(inner_of(self), in, size, out, std::min(out_size, size - 1));
  };
  return &own->base;
}

SqfsPtr<sqfs_compressor_t> make_compressor(uint16_t flags) {
  sqfs_compressor_config_t config{};
  sqfs_compressor_t* compressor = nullptr;
  if (sqfs_compressor_config_init(&config, SQFS_COMP_LZ4, kBlockSize, flags) == 0) {
    sqfs_compressor_create(&config, &compressor);
  }
  return SqfsPtr<sqfs_compressor_t>(compressor);
}

uint32_t worker_count() {
  cpu_set_t processors;
  CPU_ZERO(&processors);
  if (::sched_getaffinity(0, sizeof processors, &processors) != 0) return 1;
  return static_cast<uint32_t>(std::clamp(CPU_COUNT(&processors), 1, kMaxWorkers));
}

}  // namespace

void SqfsDestroy::operator()(void* object) const { sqfs_destroy(object); }

Result<std::unique_ptr<SquashfsWriter>> SquashfsWriter::create(const std::string& path,
                                                               size_t node_count) {
  std::unique_ptr<SquashfsWriter> writer(new SquashfsWriter());
  ASSIGN_OR_RETURN(writer->file_, SquashfsFile::create(path));
  writer->inodes_.resize(node_count);
  RETURN_IF_ERROR(writer->set_up());
  return writer;
}

SquashfsWriter::~SquashfsWriter() {
  processor_.reset();
  for (sqfs_inode_generic_t* inode : inodes_) sqfs_free(inode);
}

Status SquashfsWriter::set_up() {
  super_ = std::make_unique<sqfs_super_t>();
  compressor_.reset(make_shrinking(make_compressor(0)));
  reader_ = make_compressor(SQFS_COMP_FLAG_UNCOMPRESS);
  fragments_.reset(sqfs_frag_table_create(0));
  blocks_.reset(sqfs_block_writer_create(file_->get(), SQFS_DEVBLK_SIZE, 0));
  if (compressor_ == nullptr || reader_ == nullptr || fragments_ == nullptr || blocks_ == nullptr) {
    return file_->error(SQFS_ERROR_ALLOC);
  }
  RETURN_IF_ERROR(check(sqfs_super_init(super_.get(), kBlockSize, 0, SQFS_COMP_LZ4)));
  RETURN_IF_ERROR(check(sqfs_super_write(super_.get(), file_->get())));
  const int options = compressor_->write_options(compressor_.get(), file_->get());
  if (options < 0) return file_->error(options);
  if (options > 0) super_->flags |= SQFS_FLAG_COMPRESSOR_OPTIONS;
  sqfs_block_processor_desc_t description{};
  description.size = sizeof description;
  description.max_block_size = kBlockSize;
  description.num_workers = worker_count();
  description.max_backlog = kBacklogPerWorker * description.num_workers;
  description.cmp = compressor_.get();
  description.wr = blocks_.get();
  description.tbl = fragments_.get();
  description.file = file_->get();
  description.uncmp = reader_.get();
  sqfs_block_processor_t* processor = nullptr;
  RETURN_IF_ERROR(check(sqfs_block_processor_create_ex(&description, &processor)));
  processor_.reset(processor);
  return {};
}

Status SquashfsWriter::check(int code) const {
  return code == 0 ? Status() : Status(file_->error(code));
}

Status SquashfsWriter::begin_file(FileTree::Id id) {
  return check(sqfs_block_processor_begin_file(processor_.get(), &inodes_[id], nullptr, 0));
}

Status SquashfsWriter::append(std::string_view bytes) {
  return check(sqfs_block_processor_append(processor_.get(), bytes.data(), bytes.size()));
}

Status SquashfsWriter::end_file() { return check(sqfs_block_processor_end_file(processor_.get())); }

Status SquashfsWriter::finish(const FileTree& tree) {
  RETURN_IF_ERROR(check(sqfs_block_processor_finish(processor_.get())));
  SquashfsTreeWriter writer(*file_, compressor_.get(), *super_, tree, inodes_);
  RETURN_IF_ERROR(writer.write_tree());
  RETURN_IF_ERROR(check(
      sqfs_frag_table_write(fragments_.get(), file_->get(), super_.get(), compressor_.get())));
  RETURN_IF_ERROR(writer.write_tables());
  super_->bytes_used = file_->get()->get_size(file_->get());
  RETURN_IF_ERROR(check(sqfs_super_write(super_.get(), file_->get())));
  return file_->finish();
}

}  // namespace vch
