// Where the host end keeps everything. No daemon: the directories are the truth.
//
// ROOT/images/           image/image_store.h
// ROOT/volumes/NAME/     machine/volume_store.h
// ROOT/containers/ID/    machine/container_store.h
// ROOT/host/             what was found out about this host, by its boot id (accelerator probe)
#pragma once

#include <string>

#include "common/result.h"

namespace vch {

struct StateDir {
  std::string root;
  std::string images() const { return root + "/images"; }
  std::string volumes() const { return root + "/volumes"; }
  std::string containers() const { return root + "/containers"; }
  std::string host() const { return root + "/host"; }
};

// `wanted` if not empty, else $VCH_STATE, else /var/lib/vch for root and
// ${XDG_DATA_HOME:-~/.local/share}/vch for anybody else. Creates it, mode 0700.
common::Result<StateDir> open_state_dir(const std::string& wanted);

}  // namespace vch
