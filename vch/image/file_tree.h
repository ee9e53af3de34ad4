// The file system of an image, as metadata: what extracting its layers in order would leave, worked
// out without touching a disk. File contents stay in the layers; each node remembers which member
// of which layer has them.
//
// Layers are applied as Docker applies them.
// - An absolute path is taken relative to the root; one that climbs out ("a/../../b") is refused.
// - A path below a symbolic link lands where the link leads, followed inside the root ("/" is the
//   image's root, ".." stops there). So nothing can be written elsewhere.
// - A directory over a directory changes its metadata and keeps its content. Anything else
//   replaces what was there.
// - Missing parents are made, root:root 0755.
// - A hard link shares its target's node and, as in Docker, sets that node's metadata.
// - ".wh.NAME" and ".wh..wh..opq" hide what lower layers left, never what their own layer brings,
//   in whatever order the members come (OCI image-spec, layer.md).
//
// Refused by name: symbolic links that climb out, hard links to nothing or to a directory, names
// that Linux cannot hold, members below something that is no directory.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace vch {

struct Xattr {
  std::string name;   // "user.x", "security.capability"
  std::string value;  // any bytes
};

struct FileMeta {
  uint32_t mode = 0;  // type and permissions, as st_mode
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t mtime = 0;  // seconds since 1970
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  uint64_t size = 0;   // regular files
  std::string target;  // symbolic links
  std::vector<Xattr> xattrs;
};

// Whether a disk can hold it (squashfs has no system.*) and the guest may see it: trusted.overlay.*
// is no content but an order to the overlay that the guest mounts above.
bool is_kept_xattr(std::string_view name);

// One member of a layer, before it is judged.
struct Member {
  std::string path;
  FileMeta meta;
  bool is_hard_link = false;  // then meta.mode has no type
  std::string link;           // the hard link's target
};

class FileTree {
 public:
  using Id = uint32_t;
  struct Child {
    Id node = 0;
    uint32_t layer = 0;  // the last layer that named it
  };
  // Sorted by bytes, as squashfs wants it.
  using Children = std::map<std::string, Child, std::less<>>;
  struct Node {
    FileMeta meta;
    uint32_t links = 0;  // 0: not in the tree (any more)
    // Where a regular file's content is.
    uint32_t layer = 0;
    uint64_t member = 0;
    // Directories alone.
    Id parent = 0;
    uint32_t depth = 0;        // the root's is 0
    uint32_t path_length = 0;  // of "/a/b"; the root's is 0
    std::unique_ptr<Children> children;
  };

  static constexpr uint64_t kMaxMembers = 4'000'000;
  static constexpr uint64_t kMaxTextBytes = uint64_t{512} << 20U;  // names, targets, xattrs

  // A directory's tree is taken as it is: a name like a whiteout's is a file, and a symbolic link
  // may say anything, since it leads nowhere but to the guest's own root.
  enum class From { kLayers, kDirectory };
  explicit FileTree(From from = From::kLayers);
  // Layers are numbered by the caller, upwards; likewise the members of a layer.
  common::Status add(const Member& member, uint32_t layer, uint64_t number);

  static constexpr Id kRoot = 0;
  const Node& node(Id id) const { return nodes_[id]; }
  size_t node_count() const { return nodes_.size(); }  // ids are below this
  // "/a/b" of a path in the tree; kNone when there is nothing. Follows no link.
  static constexpr Id kNone = UINT32_MAX;
  Id find(std::string_view path) const;

 private:
  using Components = std::vector<std::string_view>;
  common::Status add_named(Id parent, std::string_view name, const Member& member, uint32_t layer,
                           uint64_t number);
  common::Status add_hard_link(Id parent, std::string_view name, const Member& member,
                               uint32_t layer);
  common::Status add_whiteout(const Components& parents, std::string_view name, uint32_t layer);
  common::Result<Id> find_link_target(const std::string& link);
  common::Result<Id> walk(const Components& path, uint32_t layer, bool make_missing);
  common::Result<Id> make_directory(Id parent, std::string_view name, uint32_t layer);
  common::Status check_room(Id parent, std::string_view name) const;
  common::Status charge(const Member& member);

  Id new_node();
  void place(Id parent, std::string_view name, Id node, uint32_t layer);
  void erase(Id parent, Children::iterator child);
  void release(Id id);
  void hide_lower(Id parent, Children::iterator child, uint32_t layer);
  void hide_children(Id directory, uint32_t layer);
  bool is_directory(Id id) const { return nodes_[id].children != nullptr; }

  const From from_;
  std::deque<Node> nodes_;
  std::vector<Id> free_;
  uint64_t members_ = 0;
  uint64_t text_bytes_ = 0;
};

}  // namespace vch
