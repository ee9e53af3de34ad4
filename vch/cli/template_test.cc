#include "vch/cli/template.h"

#include <gtest/gtest.h>

namespace vch {
namespace {

using Json = nlohmann::ordered_json;

const Json kData = Json::parse(R"({
  "State": "running", "ExitCode": null, "Machine": {"Pid": 17, "Kvm": true},
  "Command": ["sh", "-c", "a b"], "Labels": {"a-b": "x"}, "Hostile": "\u001b[2J\n"})");

std::string expand(const std::string& text) {
  const auto parsed = Template::parse(text);
  if (parsed.has_error()) return "parse: " + parsed.error().message();
  const auto expanded = parsed->expand(kData);
  return expanded.has_value() ? *expanded : "expand: " + expanded.error().message();
}

TEST(TemplateTest, MembersStandAsTheyAre) {
  EXPECT_EQ(expand("{{.State}}"), "running");
  EXPECT_EQ(expand("pid {{ .Machine.Pid }}, kvm {{.Machine.Kvm}}."), "pid 17, kvm true.");
  EXPECT_EQ(expand("{{.Labels.a-b}}"), "x");
  EXPECT_EQ(expand("{{.ExitCode}}"), "<no value>");
  EXPECT_EQ(expand("{{.Machine}}"), R"({"Pid":17,"Kvm":true})");
  EXPECT_EQ(expand("no action"), "no action");
}

TEST(TemplateTest, FunctionsAreDockers) {
  EXPECT_EQ(expand("{{json .Command}}"), R"(["sh","-c","a b"])");
  EXPECT_EQ(expand("{{json .State}}"), R"("running")");
  EXPECT_EQ(expand("{{join .Command \",\"}}"), "sh,-c,a b");
  EXPECT_EQ(expand("{{len .Command}} {{len .State}}"), "3 7");
  EXPECT_EQ(expand("{{json .}}"), kData.dump());
}

TEST(TemplateTest, TabsAndNewlinesAreWrittenAsDockerReadsThem) {
  EXPECT_EQ(expand(R"({{.State}}\t{{.State}}\n)"), "running\trunning\n");
}

TEST(TemplateTest, TextThatCouldDriveATerminalIsEscaped) {
  EXPECT_EQ(expand("{{.Hostile}}"), "\\x1b[2J\\x0a");
}

TEST(TemplateTest, WhatIsNotThereIsNamedWithWhatIs) {
  EXPECT_EQ(expand("{{.Machine.Disk}}"),
            "expand: --format '.Machine.Disk': Invalid argument (there is Pid, Kvm)");
  EXPECT_EQ(expand("{{.State.Running}}"),
            "expand: --format '.State.Running': Invalid argument (nothing has members there)");
}

TEST(TemplateTest, WhatIsNoActionIsNamed) {
  for (const char* bad : {"{{", "{{}}", "{{State}}", "{{range .Command}}", "{{.A..B}}", "{{. A}}",
                          "{{join .Command}}", "{{json}}", "{{.A.}}"}) {
    const std::string said = expand(bad);
    EXPECT_TRUE(said.starts_with("parse: --format '{{")) << said;
  }
}

}  // namespace
}  // namespace vch
