// Reading images that anybody made: a whole docker archive, and layers one above the other as a
// file system. Whatever they claim, it ends, with an error or with a tree in which everything is
// below its root.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "fuzz_input.h"
#include "vch/image/docker_archive.h"
#include "vch/image/file_tree.h"
#include "vch/image/image_config.h"
#include "vch/image/oci_layout.h"
#include "vch/image/tar_reader.h"

namespace vch {
namespace {

using serial_transport::require;

constexpr uint64_t kMostContent = 1U << 20U;

std::shared_ptr<common::UniqueFd> file_of(const uint8_t* data, size_t size) {
  auto file = std::make_shared<common::UniqueFd>(::memfd_create("image", MFD_CLOEXEC));
  require(::write(file->get(), data, size) == static_cast<ssize_t>(size), "the file");
  return file;
}

common::Status read_layer(FileTree& tree, const Layer& layer, uint32_t number) {
  ASSIGN_OR_RETURN(const auto reader, TarReader::open(layer));
  Member member;
  for (uint64_t count = 0;; ++count) {
    ASSIGN_OR_RETURN(const bool more, reader->next(member));
    if (!more) return reader->verify();
    RETURN_IF_ERROR(tree.add(member, number, count));
    if (member.meta.size > kMostContent) continue;
    uint64_t size = 0;
    RETURN_IF_ERROR(reader->read_content([&size](std::string_view bytes) -> common::Status {
      size += bytes.size();
      return {};
    }));
    require(size == member.meta.size, "a member has as many bytes as it says");
  }
}

// Every node's parent has it, up to the root.
void check(const FileTree& tree, FileTree::Id id, size_t depth) {
  const auto& node = tree.node(id);
  require(depth == node.depth && depth < 4096, "depths are counted");
  if (!node.children) return;
  for (const auto& [name, child] : *node.children) {
    require(!name.empty() && name != "." && name != ".." && name.size() <= 255 &&
                name.find('/') == std::string::npos && name.find('\0') == std::string::npos,
            "a name is one that Linux can hold");
    require(child.node < tree.node_count() && tree.node(child.node).links > 0, "a child is there");
    if (!tree.node(child.node).children) continue;
    require(tree.node(child.node).parent == id, "a directory has one parent");
    check(tree, child.node, depth + 1);
  }
}

void read_layers(const uint8_t* data, size_t size, size_t split) {
  FileTree tree;
  for (uint32_t number = 0; number < 2; ++number) {
    Layer layer;
    layer.label = "layer";
    layer.fd = number == 0 ? file_of(data, split) : file_of(data + split, size - split);
    layer.size = number == 0 ? split : size - split;
    if (read_layer(tree, layer, number).has_error()) break;
  }
  check(tree, FileTree::kRoot, 0);
}

void read_archive(const uint8_t* data, size_t size) {
  static const std::string scratch = [] {
    std::string path = std::filesystem::temp_directory_path() / "image-fuzz-XXXXXX";
    require(::mkdtemp(path.data()) != nullptr, "a place");
    return path;
  }();
  const auto file = file_of(data, size);
  const std::string path = "/proc/self/fd/" + std::to_string(file->get());
  const auto loaded = load_docker_archive(path, "", scratch);
  if (loaded.has_error()) return;
  FileTree tree;
  uint32_t number = 0;
  for (const Layer& layer : loaded->layers) {
    if (read_layer(tree, layer, number++).has_error()) break;
  }
  check(tree, FileTree::kRoot, 0);
}

}  // namespace
}  // namespace vch

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const uint8_t kind = data[0] % 3;
  const size_t split = std::min<size_t>(size_t{data[1]} * 512, size - 2);
  if (kind == 0) vch::read_archive(data + 2, size - 2);
  if (kind == 1) vch::read_layers(data + 2, size - 2, split);
  if (kind == 2) {
    (void)vch::parse_image_config({reinterpret_cast<const char*>(data + 2), size - 2});
  }
  return 0;
}
