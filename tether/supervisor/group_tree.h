// What a container has made of its control group.
#pragma once

namespace tether {

// See System::clear_group().
void clear_group_tree(int directory);

}  // namespace tether
