// cp: files in and out.
#include <memory>

#include "vch/cli/context.h"
#include "vch/copy/copy.h"
#include "vch/copy/copy_plan.h"

namespace vch {
namespace {

common::Status run_cp(const Context& context, const std::string& source,
                      const std::string& destination, const CopyOptions& options) {
  const CopyArgument from = parse_copy_argument(source);
  const CopyArgument to = parse_copy_argument(destination);
  if (from.container.empty() == to.container.empty()) {
    return common::make_error(EINVAL, "copy from", source + " to " + destination,
                              "exactly one of them must be CONTAINER:PATH");
  }
  const bool out = !from.container.empty();
  ASSIGN_OR_RETURN(const Container container,
                   context.container(out ? from.container : to.container));
  return out ? copy_out(container, context.program, from.path, to.path, options)
             : copy_in(container, context.program, from.path, to.path, options);
}

}  // namespace

void add_cp_command(CLI::App& app, Context& context) {
  struct Words {
    std::string source, destination;
    CopyOptions options;
  };
  const auto words = std::make_shared<Words>();
  CLI::App* cp = app.add_subcommand("cp", "Copy files between a running container and this host");
  cp->add_flag("-a,--archive", words->options.keep_owner, "Keep uid and gid");
  cp->add_flag("-L,--follow-link", words->options.follow_link,
               "Copy what a symbolic link SRC leads to");
  cp->add_option("SRC", words->source, "CONTAINER:PATH, a path, or - for a tar stream on stdin")
      ->required();
  cp->add_option("DEST", words->destination,
                 "CONTAINER:PATH, a path, or - for a tar stream on stdout")
      ->required();
  cp->callback([words, &context] {
    const auto done = run_cp(context, words->source, words->destination, words->options);
    if (done.has_error()) context.fail(done.error());
  });
}

}  // namespace vch
