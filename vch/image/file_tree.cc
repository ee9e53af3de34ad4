#include "vch/image/file_tree.h"

#include <limits.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>

#include "vch/image/image_error.h"

namespace vch {
namespace {

using common::Error;
using common::Result;
using common::Status;

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kWhiteoutMeta = ".wh..wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr uint32_t kImpliedDirectory = S_IFDIR | 0755U;
constexpr size_t kMaxPath = PATH_MAX - 1;

Error refuse(const std::string& path, std::string what) {
  return image_error("member '" + path + "'", std::move(what));
}

// The components of a path without "." and with ".." taken back; nothing when it climbs out.
std::optional<std::vector<std::string_view>> clean(std::string_view path) {
  std::vector<std::string_view> components;
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    const std::string_view name = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    if (name == "..") {
      if (components.empty()) return std::nullopt;
      components.pop_back();
    } else if (!name.empty() && name != ".") {
      components.push_back(name);
    }
  }
  return components;
}

// Whether a link's target, from a directory `depth` below the root, ever leads above the root.
bool climbs_out(std::string_view target, uint32_t depth) {
  int64_t level = target.starts_with('/') ? 0 : depth;
  while (!target.empty()) {
    const size_t end = std::min(target.find('/'), target.size());
    const std::string_view name = target.substr(0, end);
    target.remove_prefix(std::min(end + 1, target.size()));
    if (name == "..") {
      if (--level < 0) return true;
    } else if (!name.empty() && name != ".") {
      ++level;
    }
  }
  return false;
}

Status check_symlink(const Member& member, uint32_t depth, bool may_climb) {
  const std::string& target = member.meta.target;
  if (target.empty()) return refuse(member.path, "a symbolic link without a target");
  if (target.size() > kMaxPath) return refuse(member.path, "its link target is too long");
  if (!may_climb && climbs_out(target, depth)) {
    return refuse(member.path, "its link target '" + target + "' climbs out of the image");
  }
  return {};
}

}  // namespace

bool is_kept_xattr(std::string_view name) {
  if (name.starts_with("trusted.overlay.")) return false;
  return name.starts_with("user.") || name.starts_with("trusted.") || name.starts_with("security.");
}

FileTree::FileTree(From from) : from_(from) {
  nodes_.emplace_back();
  nodes_[kRoot].meta.mode = kImpliedDirectory;
  nodes_[kRoot].links = 1;
  nodes_[kRoot].children = std::make_unique<Children>();
}

Status FileTree::add(const Member& member, uint32_t layer, uint64_t number) {
  RETURN_IF_ERROR(charge(member));
  auto components = clean(member.path);
  if (!components) return refuse(member.path, "its path climbs out of the image");
  for (const std::string_view name : *components) {
    if (name.size() > NAME_MAX) return refuse(member.path, "a name in its path is too long");
  }
  if (components->empty()) {
    if (!S_ISDIR(member.meta.mode)) return refuse(member.path, "names the root as no directory");
    nodes_[kRoot].meta = member.meta;
    return {};
  }
  const std::string_view name = components->back();
  components->pop_back();
  if (from_ == From::kLayers && name.starts_with(kWhiteout)) {
    auto status = add_whiteout(*components, name, layer);
    if (status.has_error()) return within("member '" + member.path + "'", status.error());
    return {};
  }
  const auto parent = walk(*components, layer, true);
  if (parent.has_error()) return within("member '" + member.path + "'", parent.error());
  const Status room = check_room(*parent, name);
  if (room.has_error()) return within("member '" + member.path + "'", room.error());
  if (member.is_hard_link) return add_hard_link(*parent, name, member, layer);
  return add_named(*parent, name, member, layer, number);
}

Status FileTree::charge(const Member& member) {
  if (++members_ > kMaxMembers) {
    return refuse(member.path,
                  "the image has more than " + std::to_string(kMaxMembers) + " members");
  }
  text_bytes_ += member.path.size() + member.link.size() + member.meta.target.size();
  for (const Xattr& xattr : member.meta.xattrs) {
    text_bytes_ += xattr.name.size() + xattr.value.size();
  }
  if (text_bytes_ > kMaxTextBytes) {
    return refuse(member.path, "the image has more than " + std::to_string(kMaxTextBytes >> 20U) +
                                   " MiB of names and extended attributes");
  }
  return {};
}

Status FileTree::add_named(Id parent, std::string_view name, const Member& member, uint32_t layer,
                           uint64_t number) {
  if (S_ISLNK(member.meta.mode)) {
    RETURN_IF_ERROR(check_symlink(member, nodes_[parent].depth, from_ == From::kDirectory));
  }
  Children& siblings = *nodes_[parent].children;
  if (auto existing = siblings.find(name); existing != siblings.end()) {
    if (S_ISDIR(member.meta.mode) && is_directory(existing->second.node)) {
      nodes_[existing->second.node].meta = member.meta;
      existing->second.layer = layer;
      return {};
    }
    erase(parent, existing);
  }
  if (S_ISDIR(member.meta.mode)) {
    ASSIGN_OR_RETURN(const Id directory, make_directory(parent, name, layer));
    nodes_[directory].meta = member.meta;
    return {};
  }
  const Id id = new_node();
  nodes_[id].meta = member.meta;
  if (S_ISLNK(member.meta.mode)) nodes_[id].meta.mode = S_IFLNK | 0777U;  // as Linux has no other
  nodes_[id].layer = layer;
  nodes_[id].member = number;
  place(parent, name, id, layer);
  return {};
}

Status FileTree::add_hard_link(Id parent, std::string_view name, const Member& member,
                               uint32_t layer) {
  const auto found = find_link_target(member.link);
  if (found.has_error()) return within("member '" + member.path + "'", found.error());
  const Id target = *found;
  Children& siblings = *nodes_[parent].children;
  const auto existing = siblings.find(name);
  if (existing != siblings.end() && existing->second.node == target) {
    existing->second.layer = layer;
  } else {
    ++nodes_[target].links;  // before anything is erased, which could take the target along
    if (existing != siblings.end()) erase(parent, existing);
    siblings.emplace(name, Child{target, layer});
  }
  FileMeta& meta = nodes_[target].meta;
  meta.uid = member.meta.uid;
  meta.gid = member.meta.gid;
  meta.mtime = member.meta.mtime;
  if (!S_ISLNK(meta.mode)) meta.mode = (meta.mode & S_IFMT) | (member.meta.mode & 07777U);
  for (const Xattr& xattr : member.meta.xattrs) {
    std::erase_if(meta.xattrs, [&](const Xattr& old) { return old.name == xattr.name; });
    meta.xattrs.push_back(xattr);
  }
  return {};
}

Result<FileTree::Id> FileTree::find_link_target(const std::string& link) {
  const std::string what = "its hard link target '" + link + "' ";
  auto components = clean(link);
  if (!components) return image_error("", what + "climbs out of the image");
  if (components->empty()) return image_error("", what + "is a directory");
  const std::string_view name = components->back();
  components->pop_back();
  ASSIGN_OR_RETURN(const Id parent, walk(*components, 0, false));
  if (parent == kNone) return image_error("", what + "is not in the image");
  const auto found = nodes_[parent].children->find(name);
  if (found == nodes_[parent].children->end()) {
    return image_error("", what + "is not in the image");
  }
  if (is_directory(found->second.node)) return image_error("", what + "is a directory");
  return found->second.node;
}

Status FileTree::add_whiteout(const Components& parents, std::string_view name, uint32_t layer) {
  ASSIGN_OR_RETURN(const Id parent, walk(parents, layer, false));
  if (parent == kNone) return {};
  if (name == kOpaque) {
    hide_children(parent, layer);
    return {};
  }
  if (name.starts_with(kWhiteoutMeta)) return {};  // AUFS's own bookkeeping
  name.remove_prefix(kWhiteout.size());
  if (name.empty() || name == "." || name == "..") {
    return image_error("", "a whiteout of no name");
  }
  Children& siblings = *nodes_[parent].children;
  if (const auto hidden = siblings.find(name); hidden != siblings.end()) {
    hide_lower(parent, hidden, layer);
  }
  return {};
}

}  // namespace vch
