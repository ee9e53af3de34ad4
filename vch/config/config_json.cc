#include "vch/config/config_json.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/util/json_util.h>

#include <memory>

// The schema as protoc describes it: see CMakeLists.txt.
extern "C" {
extern const char vch_schema_begin[];
extern const char vch_schema_end[];
}
__asm__(
    ".pushsection .rodata\n"
    ".global vch_schema_begin\n.global vch_schema_end\n"
    "vch_schema_begin: .incbin \"" VCH_SCHEMA
    "\"\n"
    "vch_schema_end:\n"
    ".popsection\n");

namespace vch {
namespace {

namespace proto = google::protobuf;
using common::make_error;

constexpr const char* kMessage = "tether.v1.ContainerVm";

// Generated code for the lite runtime knows no names, so the JSON goes by a message that is built
// from the schema at run time.
class Schema {
 public:
  Schema() {
    proto::FileDescriptorSet files;
    const auto size = static_cast<int>(vch_schema_end - vch_schema_begin);
    if (!files.ParseFromArray(vch_schema_begin, size)) return;
    for (const auto& file : files.file()) {
      if (pool_.BuildFile(file) == nullptr) return;
    }
    type_ = pool_.FindMessageTypeByName(kMessage);
  }
  // Null when this program was built wrongly.
  std::unique_ptr<proto::Message> make() {
    if (type_ == nullptr) return nullptr;
    return std::unique_ptr<proto::Message>(factory_.GetPrototype(type_)->New());
  }

 private:
  proto::DescriptorPool pool_;
  proto::DynamicMessageFactory factory_{&pool_};
  const proto::Descriptor* type_ = nullptr;
};

common::Error bad_json(std::string_view why) {
  // The parser marks the place with a caret on a line of its own.
  const size_t newline = why.find('\n');
  std::string words(why.substr(0, newline));
  if (newline != std::string_view::npos) {
    const auto rest = why.substr(newline + 1);
    words += " near '" + std::string(rest.substr(0, rest.find('\n'))) + "'";
  }
  return make_error(EBADMSG, "parse", "JSON", words.substr(0, 400));
}

}  // namespace

common::Result<std::string> config_to_json(const protocol::pb::ContainerVm& config) {
  Schema schema;
  const auto message = schema.make();
  if (!message || !message->ParseFromString(config.SerializeAsString())) {
    return make_error(EBADMSG, "describe", kMessage);
  }
  proto::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto done = proto::util::MessageToJsonString(*message, &json, options);
  if (!done.ok()) return make_error(EBADMSG, "describe", kMessage, std::string(done.message()));
  return json;
}

common::Result<protocol::pb::ContainerVm> config_from_json(std::string_view json) {
  Schema schema;
  const auto message = schema.make();
  if (!message) return make_error(EBADMSG, "describe", kMessage);
  const auto done = proto::util::JsonStringToMessage({json.data(), json.size()}, message.get(), {});
  if (!done.ok()) return bad_json({done.message().data(), done.message().size()});
  return protocol::parse_config(message->SerializeAsString());
}

common::Result<protocol::pb::ContainerVm> read_any_config(std::string_view bytes) {
  const size_t first = bytes.find_first_not_of(" \t\r\n");
  // No serialised message begins so: it would be a group, which the schema has none of.
  if (first != std::string_view::npos && bytes[first] == '{') return config_from_json(bytes);
  return protocol::parse_config(bytes);
}

void forget_secrets(protocol::pb::ContainerVm& config) {
  config.clear_secrets();
  if (config.has_journal()) config.mutable_journal()->clear_check_secret();
}

}  // namespace vch
