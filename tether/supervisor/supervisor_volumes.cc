// Volumes that come and go, and repairs of disks, as events. The work is the host's and a helper's.
#include <string.h>
#include <unistd.h>

#include "tether/boot/volume_main.h"
#include "tether/supervisor/supervisor.h"

namespace tether {

using protocol::VolumeNews;

void Supervisor::tell_volume(VolumeNews news, std::string_view text) {
  protocol::JournalRecord record;
  record.kind = protocol::EventKind::kVolume;
  record.value = static_cast<uint32_t>(news);
  record.payload = text;
  event(record);
}

// The host repairs before there is a machine: nobody but we can write it to the journal.
void Supervisor::tell_repairs() {
  for (const std::string& repair : boot_.config.repairs()) {
    tell_volume(VolumeNews::kRepaired, repair);
  }
}

// Whoever wrote it shares the file with the link process: texts are told, and nothing else is done.
void Supervisor::on_volume_change(int file) {
  VolumeChange change;
  if (::pread(file, &change, sizeof change, 0) != sizeof change) return;
  const auto text_of = [](const auto& bytes) {
    return std::string_view(bytes.data(), ::strnlen(bytes.data(), bytes.size()));
  };
  const auto news = static_cast<VolumeNews>(change.what);
  if (news != VolumeNews::kAttached && news != VolumeNews::kDetached) return;
  if (change.repair[0] != 0) tell_volume(VolumeNews::kRepaired, text_of(change.repair));
  tell_volume(news, text_of(change.path));
}

}  // namespace tether
