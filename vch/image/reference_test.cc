#include "vch/image/reference.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "vch/image/image_fixture.h"

namespace vch {
namespace {

std::string name_of(const std::string& text) {
  const auto name = store_name(text);
  return name.has_error() ? "refused" : *name;
}

const std::string kDigest = "sha256:" + std::string(64, 'a');

TEST(StoreName, IsTheShortestThatDockerWouldShow) {
  EXPECT_EQ(name_of("busybox"), "busybox:latest");
  EXPECT_EQ(name_of("busybox:1.36"), "busybox:1.36");
  EXPECT_EQ(name_of("library/busybox"), "library/busybox:latest");
  EXPECT_EQ(name_of("docker.io/library/alpine:3"), "alpine:3");
  EXPECT_EQ(name_of("docker.io/alpine"), "alpine:latest");
  EXPECT_EQ(name_of("index.docker.io/grafana/loki"), "grafana/loki:latest");
  EXPECT_EQ(name_of("localhost/x"), "localhost/x:latest");
  EXPECT_EQ(name_of("localhost:5000/x/y:t"), "localhost:5000/x/y:t");
  EXPECT_EQ(name_of("quay.io/a/b__c-d.e"), "quay.io/a/b__c-d.e:latest");
  EXPECT_EQ(name_of("[::1]:5000/x"), "[::1]:5000/x:latest");
  EXPECT_EQ(name_of("alpine:3@" + kDigest), "alpine@" + kDigest);
}

TEST(StoreName, RefusesWhatDockerRefuses) {
  for (const char* bad : {"", ":", "Busybox", "a//b", "/a", "a/", "a:", "a:b/", "-a", "a-", "a..b",
                          "a___b", "a b", "a:t t", "a@sha256:12", "host:port/x", "../x", "a\n"}) {
    EXPECT_EQ(name_of(bad), "refused") << bad;
  }
  EXPECT_EQ(name_of("a:" + std::string(129, 't')), "refused");
  EXPECT_EQ(name_of(std::string(300, 'a')), "refused");
}

TEST(RegistryName, IsDockerHubWhenNoneIsNamed) {
  EXPECT_EQ(registry_name("busybox:latest"), "docker.io/library/busybox:latest");
  EXPECT_EQ(registry_name("grafana/loki:2"), "docker.io/grafana/loki:2");
  EXPECT_EQ(registry_name("localhost:5000/x:t"), "localhost:5000/x:t");
  EXPECT_EQ(registry_name("alpine@" + kDigest), "docker.io/library/alpine@" + kDigest);
}

TEST(RegistryName, MayDoWithoutTlsOnThisHostAlone) {
  for (const char* own :
       {"localhost/x", "localhost:5000/x", "127.0.0.1:5000/x", "127.1/x", "[::1]:5000/x"}) {
    EXPECT_TRUE(is_loopback(own)) << own;
  }
  for (const char* other : {"docker.io/x", "127.example.org/x", "localhost.example.org/x",
                            "10.0.0.1:5000/x", "library/x", "localhost"}) {
    EXPECT_FALSE(is_loopback(other)) << other;
  }
}

TEST(Source, IsToldByItsPrefix) {
  EXPECT_EQ(parse_source("busybox")->kind, SourceKind::kName);
  EXPECT_EQ(parse_source("oci:/nowhere")->kind, SourceKind::kOciLayout);
  EXPECT_EQ(parse_source("docker-archive:x.tar")->kind, SourceKind::kDockerArchive);
  EXPECT_EQ(parse_source("dir:/x")->kind, SourceKind::kDirectory);
  EXPECT_EQ(parse_source("docker://alpine:3")->kind, SourceKind::kRegistry);
  EXPECT_EQ(parse_source("docker://alpine:3")->location, "alpine:3");
  EXPECT_EQ(message_of(parse_source("oci:")), "image 'oci:': nothing behind the colon");
}

TEST(Source, SplitsTheTagFromAPathThatExists) {
  const TestDir dir;
  std::filesystem::create_directories(dir / "a:b");
  EXPECT_EQ(parse_source("oci:" + dir / "a:b")->location, dir / "a:b");
  EXPECT_EQ(parse_source("oci:" + dir / "a:b")->selector, "");
  EXPECT_EQ(parse_source("oci:" + dir / "a:b:tag")->location, dir / "a:b");
  EXPECT_EQ(parse_source("oci:" + dir / "a:b:tag")->selector, "tag");
  EXPECT_EQ(parse_source("docker-archive:" + dir / "a:b:x/y:1")->selector, "x/y:1");
  EXPECT_EQ(parse_source("oci:" + dir / "none:tag")->location, dir / "none:tag");
  // A directory is taken as it is typed.
  EXPECT_EQ(parse_source("dir:" + dir / "a:b:tag")->location, dir / "a:b:tag");
}

}  // namespace
}  // namespace vch
