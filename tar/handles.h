// libarchive's objects, each with its owner.
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include <memory>
#include <string_view>

namespace tar {

struct Free {
  void operator()(archive* a) const { archive_free(a); }
  void operator()(archive_entry* e) const { archive_entry_free(e); }
  void operator()(archive_entry_linkresolver* r) const { archive_entry_linkresolver_free(r); }
};
using Handle = std::unique_ptr<archive, Free>;
using Entry = std::unique_ptr<archive_entry, Free>;
using LinkResolver = std::unique_ptr<archive_entry_linkresolver, Free>;

inline std::string_view error_of(archive* a) {
  const char* text = archive_error_string(a);
  return text == nullptr ? "unknown error" : text;
}

}  // namespace tar
