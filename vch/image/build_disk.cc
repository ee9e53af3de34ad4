#include "vch/image/build_disk.h"

#include <sys/stat.h>

#include <unordered_map>

#include "vch/image/file_tree.h"
#include "vch/image/image_error.h"
#include "vch/image/squashfs_writer.h"
#include "vch/image/tar_reader.h"

namespace vch {
namespace {

using common::Result;
using common::Status;

// A few bytes of archive can claim any size of file: somebody must say enough.
constexpr uint64_t kMaxContent = uint64_t{1} << 40U;

class Counter {
 public:
  Counter(const Progress& progress, const char* step, const std::vector<Layer>& layers)
      : progress_(progress), step_(step) {
    for (const Layer& layer : layers) total_ += layer.size;
  }
  std::function<void(uint64_t)> callback() {
    return [this](uint64_t bytes) {
      done_ += bytes;
      if (progress_) progress_(step_, done_, total_);
    };
  }

 private:
  const Progress& progress_;
  const char* const step_;
  uint64_t done_ = 0;
  uint64_t total_ = 0;
};

Status add_layer(FileTree& tree, const Layer& layer, uint32_t index, uint64_t& content,
                 Counter& counter) {
  ASSIGN_OR_RETURN(const auto reader, TarReader::open(layer, counter.callback()));
  Member member;
  for (uint64_t number = 0;; ++number) {
    ASSIGN_OR_RETURN(const bool more, reader->next(member));
    if (!more) break;
    const Status added = tree.add(member, index, number);
    // Wrong bytes explain a wrong member better than the member does.
    if (added.has_error()) return reader->explain(within(layer.label, added.error()));
    if (member.meta.size > kMaxContent - content) {
      return image_error(layer.label, "member '" + member.path + "': the image has more than " +
                                          std::to_string(kMaxContent >> 30U) +
                                          " GiB of file contents");
    }
    content += member.meta.size;
  }
  return reader->verify();
}

Result<std::unique_ptr<FileTree>> read_tree(const std::vector<Layer>& layers,
                                            const Progress& progress) {
  auto tree = std::make_unique<FileTree>();
  Counter counter(progress, "checking layers", layers);
  uint64_t content = 0;
  for (uint32_t i = 0; i < layers.size(); ++i) {
    RETURN_IF_ERROR(add_layer(*tree, layers[i], i, content, counter));
  }
  return tree;
}

// By layer: the members whose content the image has, and whose it is.
using Wanted = std::vector<std::unordered_map<uint64_t, FileTree::Id>>;

Wanted find_wanted(const FileTree& tree, size_t layers) {
  Wanted wanted(layers);
  for (size_t i = 0; i < tree.node_count(); ++i) {
    const auto id = static_cast<FileTree::Id>(i);
    const FileTree::Node& node = tree.node(id);
    if (node.links > 0 && S_ISREG(node.meta.mode) && node.meta.size > 0) {
      wanted[node.layer].emplace(node.member, id);
    }
  }
  return wanted;
}

Status copy_contents(const FileTree& tree, const Layer& layer,
                     std::unordered_map<uint64_t, FileTree::Id>& wanted, SquashfsWriter& disk,
                     Counter& counter) {
  ASSIGN_OR_RETURN(const auto reader, TarReader::open(layer, counter.callback()));
  Member member;
  for (uint64_t number = 0; !wanted.empty(); ++number) {
    ASSIGN_OR_RETURN(const bool more, reader->next(member));
    if (!more) return image_error(layer.label, "changed while it was read");
    const auto found = wanted.find(number);
    if (found == wanted.end()) continue;
    if (member.meta.size != tree.node(found->second).meta.size) {
      return image_error(layer.label, "changed while it was read");
    }
    RETURN_IF_ERROR(disk.begin_file(found->second));
    RETURN_IF_ERROR(
        reader->read_content([&disk](std::string_view bytes) { return disk.append(bytes); }));
    RETURN_IF_ERROR(disk.end_file());
    wanted.erase(found);
  }
  return {};
}

}  // namespace

Status build_disk(const std::vector<Layer>& layers, const std::string& path,
                  const Progress& progress) {
  ASSIGN_OR_RETURN(const auto tree, read_tree(layers, progress));
  Wanted wanted = find_wanted(*tree, layers.size());
  ASSIGN_OR_RETURN(const auto disk, SquashfsWriter::create(path, tree->node_count()));
  Counter counter(progress, "writing disk", layers);
  for (size_t i = 0; i < layers.size(); ++i) {
    if (wanted[i].empty()) continue;
    RETURN_IF_ERROR(copy_contents(*tree, layers[i], wanted[i], *disk, counter));
  }
  return disk->finish(*tree);
}

}  // namespace vch
