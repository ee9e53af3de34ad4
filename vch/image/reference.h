// IMAGE as people type it.
#pragma once

#include <string>
#include <string_view>

#include "common/result.h"

namespace vch {

enum class SourceKind { kName, kOciLayout, kDockerArchive, kDirectory, kRegistry };

struct Source {
  SourceKind kind = SourceKind::kName;
  std::string location;  // a path, or a name or registry reference as typed
  std::string selector;  // which image of a layout or archive; empty: the only one
};

// Looks at the file system only to tell where the path of "oci:DIR:TAG" ends: DIR is the longest
// prefix before a colon that exists, the whole text when none does.
common::Result<Source> parse_source(const std::string& text);

// The name an image has in the store: "busybox" -> "busybox:latest",
// "docker.io/library/alpine:3" -> "alpine:3", "localhost:5000/x" -> "localhost:5000/x:latest";
// with a digest the tag goes ("alpine@sha256:..."). Refuses what Docker would refuse.
common::Result<std::string> store_name(const std::string& text);

// The registry's name of a store name: "busybox:latest" -> "docker.io/library/busybox:latest".
std::string registry_name(std::string_view name);
// Whether the registry of that name is this host: it may do without TLS.
bool is_loopback(std::string_view registry_name);

}  // namespace vch
