#include "vch/machine/container_journal.h"

#include "vch/machine/life.h"

namespace vch {

common::Result<JournalStream::Options> whole_journal(const Container& container) {
  JournalStream::Options options;
  const auto config = read_config(container);
  if (config.has_value()) {
    options.secret = config->journal().check_secret();
  } else if (config.error().code != std::errc::no_such_file_or_directory) {
    return config.error();
  }
  return options;
}

common::Result<JournalStream::Options> journal_of_life(const Container& container) {
  ASSIGN_OR_RETURN(JournalStream::Options options, whole_journal(container));
  ASSIGN_OR_RETURN(const auto life, read_life(container));
  if (life) options.from = life->journal;
  return options;
}

}  // namespace vch
