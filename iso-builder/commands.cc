#include "iso-builder/commands.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>

#include "iso-builder/report.h"

namespace iso_builder {
namespace {

using common::Status;

int report(const Status& status) {
  if (status.has_value()) return 0;
  std::fprintf(stderr, "tether-iso: %s\n", status.error().message().c_str());
  return kExitFailed;
}

Status deliver(BootImage& image, const Options& options, const std::string& name) {
  RETURN_IF_ERROR(apply_changes(options.changes, image));
  const Format format = options.format == "disk"  ? Format::kDisk
                        : options.format == "uki" ? Format::kUki
                                                  : Format::kIso;
  ASSIGN_OR_RETURN(const MadeParts parts, make_parts(image, name));
  ASSIGN_OR_RETURN(const std::string bytes, make_output(image, parts, format, name));
  return write_output(bytes, options.output);
}

Status build(Options& options) {
  ASSIGN_OR_RETURN(options.inputs.time, source_date_epoch());
  ASSIGN_OR_RETURN(BootImage image, load_boot_image(options.inputs));
  return deliver(image, options, options.inputs.kernel);
}

Status customise(const Options& options) {
  ASSIGN_OR_RETURN(IsoContents iso, read_iso(options.iso));
  return deliver(iso.image, options, options.iso);
}

Status inspect(const Options& options) {
  ASSIGN_OR_RETURN(const auto iso, read_iso(options.iso));
  const bool json = options.json || options.report == "json";
  return write_output(json ? report_json(options.iso, iso) : report_table(options.iso, iso), "-");
}

struct Extract {
  const char* part;
  std::string bytes;
};

common::Result<std::vector<Extract>> extracts(const IsoContents& iso, const std::string& name) {
  std::vector<Extract> out = {{"kernel", iso.image.kernel},
                              {"initramfs", iso.parts.initramfs},
                              {"cmdline", iso.image.command_line + "\n"},
                              {"agent", iso.image.agent},
                              {"manifest", iso.parts.manifest_json},
                              {"sbom", iso.parts.sbom_json}};
  if (!iso.image.busybox.empty()) out.push_back({"busybox", iso.image.busybox});
  if (!iso.image.efi_stub.empty()) {
    ASSIGN_OR_RETURN(std::string uki, make_output(iso.image, iso.parts, Format::kUki, name));
    out.push_back({"uki", std::move(uki)});
  }
  return out;
}

Status extract(const Options& options) {
  ASSIGN_OR_RETURN(const auto iso, read_iso(options.iso));
  ASSIGN_OR_RETURN(const auto all, extracts(iso, options.iso));
  std::vector<const Extract*> chosen;
  for (const Extract& each : all) {
    if (options.parts.empty()) chosen.push_back(&each);
  }
  for (const std::string& part : options.parts) {
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const Extract& each) { return part == each.part; });
    if (found == all.end()) {
      std::string names;
      for (const Extract& each : all) names += std::string(names.empty() ? "" : ", ") + each.part;
      return common::Error{{}, "extract", part, "is no part of it; there are " + names};
    }
    chosen.push_back(&*found);
  }
  if (!options.output.empty()) {
    if (chosen.size() == 1) return write_output(chosen[0]->bytes, options.output);
    return common::Error{
        {}, "extract", options.output, "takes one part; name it, or give -C FOLDER"};
  }
  const std::string folder = options.folder.empty() ? "." : options.folder;
  if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
    return common::errno_error("create", folder);
  }
  for (const Extract* each : chosen) {
    RETURN_IF_ERROR(write_output(each->bytes, folder + "/" + each->part));
  }
  return {};
}

}  // namespace

int run_build(Options& options) { return report(build(options)); }
int run_customise(const Options& options) { return report(customise(options)); }
int run_inspect(const Options& options) { return report(inspect(options)); }
int run_extract(const Options& options) { return report(extract(options)); }

// Every difference is a line of its own; the last line counts them.
int run_verify(const Options& options) {
  const auto iso = read_iso(options.iso);
  if (iso.has_error()) return report(iso.error());
  const auto lines = verify_iso(*iso, options.expected);
  if (lines.has_error()) return report(lines.error());
  if (lines->empty()) {
    std::printf("%s: all parts are what they should be\n", common::escape(options.iso).c_str());
    return 0;
  }
  for (const std::string& line : *lines) {
    std::fprintf(stderr, "tether-iso: %s\n", common::escape(line).c_str());
  }
  std::fprintf(stderr, "tether-iso: verify %s: %zu difference%s, listed above\n",
               common::escape(options.iso).c_str(), lines->size(), lines->size() == 1 ? "" : "s");
  return kExitDifferent;
}

}  // namespace iso_builder
