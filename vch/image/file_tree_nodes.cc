// Moving about in the tree, and the life of its nodes.
#include <limits.h>
#include <sys/stat.h>

#include <algorithm>

#include "vch/image/file_tree.h"
#include "vch/image/image_error.h"

namespace vch {

using common::Result;
using common::Status;

namespace {

constexpr uint32_t kImpliedDirectory = S_IFDIR | 0755U;
constexpr int kMaxLinksFollowed = 40;  // as Linux
constexpr size_t kMaxPath = PATH_MAX - 1;

// Puts the components of a path on a stack, the first on top.
void push_components(std::vector<std::string>& stack, std::string_view path) {
  while (!path.empty()) {
    const size_t slash = path.rfind('/');
    const size_t begin = slash == std::string_view::npos ? 0 : slash + 1;
    if (begin < path.size()) stack.emplace_back(path.substr(begin));
    path = path.substr(0, begin == 0 ? 0 : begin - 1);
  }
}

}  // namespace

Result<FileTree::Id> FileTree::walk(const Components& path, uint32_t layer, bool make_missing) {
  std::vector<std::string> pending(path.rbegin(), path.rend());
  Id at = kRoot;
  int followed = 0;
  while (!pending.empty()) {
    const std::string name = std::move(pending.back());
    pending.pop_back();
    if (name == ".") continue;
    if (name == "..") {
      at = nodes_[at].parent;
      continue;
    }
    const auto child = nodes_[at].children->find(name);
    if (child == nodes_[at].children->end()) {
      if (!make_missing) return kNone;
      ASSIGN_OR_RETURN(at, make_directory(at, name, layer));
      continue;
    }
    const Node& node = nodes_[child->second.node];
    if (S_ISLNK(node.meta.mode)) {
      if (++followed > kMaxLinksFollowed) {
        return image_error("", "too many symbolic links in its path, at '" + name + "'");
      }
      if (node.meta.target.starts_with('/')) at = kRoot;
      push_components(pending, node.meta.target);
    } else if (is_directory(child->second.node)) {
      at = child->second.node;
    } else {
      return image_error("", "lies below '" + name + "', which is no directory");
    }
  }
  return at;
}

FileTree::Id FileTree::find(std::string_view path) const {
  std::vector<std::string> pending;
  push_components(pending, path);
  Id at = kRoot;
  for (; !pending.empty(); pending.pop_back()) {
    if (!is_directory(at)) return kNone;
    const auto child = nodes_[at].children->find(pending.back());
    if (child == nodes_[at].children->end()) return kNone;
    at = child->second.node;
  }
  return at;
}

Status FileTree::check_room(Id parent, std::string_view name) const {
  if (nodes_[parent].path_length + 1 + name.size() <= kMaxPath) return {};
  return image_error("", "its path is longer than " + std::to_string(kMaxPath) + " bytes");
}

Result<FileTree::Id> FileTree::make_directory(Id parent, std::string_view name, uint32_t layer) {
  RETURN_IF_ERROR(check_room(parent, name));
  const Id id = new_node();
  Node& node = nodes_[id];
  node.meta.mode = kImpliedDirectory;
  node.parent = parent;
  node.depth = nodes_[parent].depth + 1;
  node.path_length = static_cast<uint32_t>(nodes_[parent].path_length + 1 + name.size());
  node.children = std::make_unique<Children>();
  place(parent, name, id, layer);
  return id;
}

FileTree::Id FileTree::new_node() {
  if (free_.empty()) {
    nodes_.emplace_back();
    return static_cast<Id>(nodes_.size() - 1);
  }
  const Id id = free_.back();
  free_.pop_back();
  nodes_[id] = Node();
  return id;
}

void FileTree::place(Id parent, std::string_view name, Id node, uint32_t layer) {
  nodes_[parent].children->emplace(name, Child{node, layer});
  ++nodes_[node].links;
}

void FileTree::erase(Id parent, Children::iterator child) {
  const Id id = child->second.node;
  nodes_[parent].children->erase(child);
  release(id);
}

// Depth is bounded by PATH_MAX, so this and hide_lower may recurse.
void FileTree::release(Id id) {
  if (--nodes_[id].links > 0) return;
  const auto children = std::move(nodes_[id].children);
  nodes_[id] = Node();
  free_.push_back(id);
  if (children == nullptr) return;
  for (const auto& [name, child] : *children) release(child.node);
}

void FileTree::hide_children(Id directory, uint32_t layer) {
  Children& children = *nodes_[directory].children;
  for (auto child = children.begin(); child != children.end();) {
    const auto next = std::next(child);
    hide_lower(directory, child, layer);
    child = next;
  }
}

void FileTree::hide_lower(Id parent, Children::iterator child, uint32_t layer) {
  const Id id = child->second.node;
  const bool lower = child->second.layer < layer;
  if (!is_directory(id)) {
    if (lower) erase(parent, child);
    return;
  }
  hide_children(id, layer);
  if (!lower) return;
  if (nodes_[id].children->empty()) {
    erase(parent, child);
    return;
  }
  // Only this layer's members are left in it: it is the parent that they imply.
  nodes_[id].meta = FileMeta();
  nodes_[id].meta.mode = kImpliedDirectory;
  child->second.layer = layer;
}

}  // namespace vch
