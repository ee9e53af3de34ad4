#include "vch/migration/target_command.h"

#include <algorithm>

namespace vch {
namespace {

using common::make_error;
using common::Result;
using Options = std::vector<std::string>;

struct Word {
  std::string name;  // "-device"
  Options options;   // empty: a flag alone
};

std::vector<Word> parse(const std::vector<std::string>& command) {
  std::vector<Word> words;
  for (size_t i = 0; i < command.size(); ++i) {
    if (command[i].starts_with("-")) {
      words.push_back({command[i], {}});
    } else if (!words.empty()) {
      words.back().options = split_options(command[i]);
    }
  }
  return words;
}

void set_option(Options& options, const std::string& name, const std::string& value) {
  for (std::string& option : options) {
    if (option.starts_with(name + "=")) option = name + "=" + value;
  }
}

// Those that were unplugged, with what stood behind them.
std::set<std::string> unplugged_ends(const std::vector<Word>& words,
                                     const std::set<std::string>& devices) {
  std::set<std::string> ends;
  for (const Word& word : words) {
    if (word.name != "-device") continue;
    const std::string id = option_value(word.options, "id");
    if (id.empty() || devices.contains(id)) continue;
    ends.insert(id);
    for (const char* end : {"drive", "netdev"}) {
      if (const auto value = option_value(word.options, end); !value.empty()) ends.insert(value);
    }
  }
  return ends;
}

bool is_dropped(const Word& word, const std::set<std::string>& unplugged) {
  if (word.name == "-S" || word.name == "-incoming") return true;
  if (word.name == "-blockdev") return unplugged.contains(option_value(word.options, "node-name"));
  if (word.name != "-device" && word.name != "-netdev") return false;
  return unplugged.contains(option_value(word.options, "id"));
}

void change(Word& word, const TargetCommandInputs& inputs) {
  Options& options = word.options;
  const std::string id = option_value(options, "id");
  if (word.name == "-machine") {
    options[0] = inputs.machine_type;
  } else if (word.name == "-chardev" && id == "qmp") {
    set_option(options, "fd", std::to_string(inputs.qmp_socket));
  } else if (word.name == "-chardev" && id == "journal") {
    set_option(options, "path", inputs.journal);
  } else if (word.name == "-drive") {
    if (const auto disk = inputs.disks.find(id); disk != inputs.disks.end()) {
      set_option(options, "file", disk->second);
    }
  } else if (word.name == "-blockdev") {
    const auto disk = inputs.disks.find(option_value(options, "node-name"));
    if (disk != inputs.disks.end()) set_option(options, "file.filename", disk->second);
  } else if (word.name == "-netdev") {
    std::erase_if(options, [](const std::string& o) { return o.starts_with("hostfwd="); });
    if (const auto tap = inputs.taps.find(id); tap != inputs.taps.end()) {
      set_option(options, "fd", std::to_string(tap->second));
    }
  }
}

// A descriptor's number means nothing to another process.
bool needs_descriptor(const Word& word, const TargetCommandInputs& inputs) {
  const std::string id = option_value(word.options, "id");
  if (word.name == "-chardev") {
    return id != "qmp" && !option_value(word.options, "fd").empty();
  }
  if (word.name == "-netdev") {
    return !option_value(word.options, "fd").empty() && !inputs.taps.contains(id);
  }
  return word.name == "-device" && !option_value(word.options, "vhostfd").empty();
}

}  // namespace

Options split_options(const std::string& list) {
  Options options(1);
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i] != ',') {
      options.back() += list[i];
    } else if (i + 1 < list.size() && list[i + 1] == ',') {
      options.back() += list[i++];
    } else {
      options.emplace_back();
    }
  }
  return options;
}

std::string join_options(const Options& options) {
  std::string list;
  for (size_t i = 0; i < options.size(); ++i) {
    if (i > 0) list += ',';
    for (const char c : options[i]) list += c == ',' ? std::string(",,") : std::string(1, c);
  }
  return list;
}

std::string option_value(const Options& options, const std::string& name) {
  const auto found = std::find_if(options.begin(), options.end(), [&name](const std::string& o) {
    return o.starts_with(name + "=");
  });
  return found == options.end() ? "" : found->substr(name.size() + 1);
}

Result<std::vector<std::string>> target_command(const TargetCommandInputs& inputs) {
  if (inputs.source.empty()) return make_error(EINVAL, "migrate", "QEMU", "no command line");
  std::vector<std::string> command = {inputs.source[0]};
  auto words = parse(inputs.source);
  for (Word& word : parse(inputs.plugged)) words.push_back(std::move(word));
  const auto unplugged = unplugged_ends(words, inputs.devices);
  for (Word word : words) {
    if (is_dropped(word, unplugged)) continue;
    if (needs_descriptor(word, inputs)) {
      return make_error(EOPNOTSUPP, "migrate", word.name + " " + join_options(word.options),
                        "what another process serves cannot be moved");
    }
    command.push_back(word.name);
    if (word.options.empty()) continue;
    change(word, inputs);
    command.push_back(join_options(word.options));
  }
  command.insert(command.end(), {"-S", "-incoming", "defer"});
  return command;
}

}  // namespace vch
