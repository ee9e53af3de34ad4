#include <cstdio>
#include <ctime>
#include <memory>

#include "vch/cli/context.h"

namespace vch {
namespace {

using common::Status;

std::string mebibytes(uint64_t bytes) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f MiB", double(bytes) / (1U << 20U));
  return text.data();
}

Status list_images(const Context& context, bool quiet) {
  ASSIGN_OR_RETURN(const ImageStore store, context.images());
  ASSIGN_OR_RETURN(const auto images, store.list());
  std::vector<std::vector<std::string>> rows = {{"NAME", "IMAGE ID", "CREATED", "DISK"}};
  for (const Image& image : images) {
    if (quiet) std::printf("%s\n", image.id.substr(0, 12).c_str());
    rows.push_back({common::escape(image.name), image.id.substr(0, 12),
                    image.created > 0 ? time_ago(std::time(nullptr) - image.created) : "unknown",
                    mebibytes(image.disk_size)});
  }
  if (!quiet) print_table(rows);
  return {};
}

Status import_image(const Context& context, const std::string& source, const std::string& name) {
  ASSIGN_OR_RETURN(ImageStore store, context.images());
  Image image;
  {
    ProgressBar bar;
    ASSIGN_OR_RETURN(image, store.import(source, name, bar.callback()));
  }
  std::printf("sha256:%s\n", image.id.c_str());
  return {};
}

Status pull_image(const Context& context, const std::string& reference) {
  ASSIGN_OR_RETURN(ImageStore store, context.images());
  Image image;
  {
    ProgressBar bar;
    ASSIGN_OR_RETURN(image, store.pull(reference, bar.callback()));
  }
  std::printf("%s\n", image.name.c_str());
  return {};
}

Status remove_images(const Context& context, const std::vector<std::string>& names) {
  ASSIGN_OR_RETURN(ImageStore store, context.images());
  for (const std::string& name : names) {
    RETURN_IF_ERROR(store.remove(name));
    std::printf("%s\n", name.c_str());
  }
  return {};
}

}  // namespace

void add_image_commands(CLI::App& app, Context& context) {
  struct Flags {
    bool quiet = false;
    std::string source, name;
    std::vector<std::string> names;
  };
  const auto flags = std::make_shared<Flags>();
  auto* image = app.add_subcommand("image", "The local image store");
  image->require_subcommand(1);
  const auto report = [&context](const Status& status) {
    if (status.has_error()) context.fail(status.error());
  };
  auto* ls = image->add_subcommand("ls", "List images");
  ls->add_flag("-q,--quiet", flags->quiet, "Ids alone");
  ls->callback([=, &context] { report(list_images(context, flags->quiet)); });
  auto* import = image->add_subcommand("import", "Import an image under a name");
  import
      ->add_option("SOURCE", flags->source,
                   "oci:DIR[:TAG], docker-archive:FILE, dir:DIR or docker://REF")
      ->required();
  import->add_option("NAME", flags->name, "NAME[:TAG]")->required();
  import->callback([=, &context] { report(import_image(context, flags->source, flags->name));
});
auto* pull = image->add_subcommand("pull", "Pull an image from a registry (by skopeo)");
pull->add_option("REFERENCE", flags->source, "As Docker's: NAME[:TAG]")->required();
pull->callback([=, &context] { report(pull_image(context, flags->source)); });
auto* rm = image->add_subcommand("rm", "Remove images");
rm->add_option("IMAGE", flags->names, "Names or ids")->required();
rm->callback([=, &context] { report(remove_images(context, flags->names)); });
}  // namespace vch

}  // namespace vch
