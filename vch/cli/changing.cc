#include "vch/cli/changing.h"

namespace vch {

common::Result<Changing> begin_change(const Context& context, const std::string& name) {
  Changing out;
  ASSIGN_OR_RETURN(out.container, context.container(name));
  ASSIGN_OR_RETURN(out.lock, ContainerStore::lock_for_change(out.container));
  ASSIGN_OR_RETURN(out.container, context.container(out.container.spec.id));
  ASSIGN_OR_RETURN(out.config, read_config(out.container));
  return out;
}

}  // namespace vch
