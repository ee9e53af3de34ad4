#include "vch/machine/container_store.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <set>
#include <thread>

#include "vch/machine/container_spec.h"
#include "vch/machine/lock.h"
#include "vch/machine/state_fixture.h"

namespace vch {
namespace {

class Store : public StateTest {
 protected:
  std::vector<std::string> entries() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(state_.containers())) {
      if (entry.path().filename() != ".lock") names.push_back(entry.path().filename().string());
    }
    return names;
  }
  ContainerStore store_{state_};
};

TEST_F(Store, MakesADirectoryWithEverythingInIt) {
  const Container made = want(create(spec("web")));
  EXPECT_EQ(made.spec.id.size(), 64U);
  EXPECT_EQ(made.directory, state_.containers() + "/" + made.spec.id);
  for (const char* name : {"container.json", "config.pb", "image.squashfs", "writable.ext4"}) {
    EXPECT_EQ(::access(made.file(name).c_str(), R_OK), 0) << name;
  }
  struct stat found {};
  ASSERT_EQ(::stat(made.file("config.pb").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777U, 0600U);
  const auto config = want(protocol::parse_config(want(common::read_file(made.file("config.pb")))));
  EXPECT_EQ(config.id(), made.spec.id);
  EXPECT_EQ(config.name(), "web");
  EXPECT_EQ(config.secrets().link_key().size(), 32U);
  const Container other = want(create(spec("other")));
  EXPECT_NE(want(common::read_file(other.file("config.pb"))).find(config.secrets().link_key()), 0U);
  EXPECT_EQ(want(protocol::parse_config(want(common::read_file(other.file("config.pb")))))
                    .secrets()
                    .link_key() == config.secrets().link_key(),
            false);
}

TEST_F(Store, GivesBackWhatWasStored) {
  ContainerSpec wanted = spec("web");
  wanted.labels = {{"a", "b"}};
  wanted.auto_remove = true;
  wanted.cpus = 3;
  wanted.cpus_top = 5;
  wanted.memory_top = uint64_t{1} << 40U;
  wanted.volumes = {mount("data", "/data", true), mount("more", "/more")};
  wanted.image_id = std::string(64, 'f');
  const Container made = want(create(wanted));
  const ContainerSpec found = want(store_.find("web")).spec;
  EXPECT_EQ(to_json(found), to_json(made.spec));
  EXPECT_EQ(found.labels, wanted.labels);
  EXPECT_EQ(found.command, wanted.command);
  EXPECT_EQ(found.memory, wanted.memory);
  EXPECT_EQ(found.memory_top, wanted.memory_top);
  EXPECT_EQ(found.cpus_top, wanted.cpus_top);
  EXPECT_EQ(found.iso, iso_);
  EXPECT_TRUE(found.auto_remove);
  ASSERT_EQ(found.volumes.size(), 2U);
  EXPECT_EQ(found.volumes[0].volume, "data");
  EXPECT_TRUE(found.volumes[0].read_only);
  EXPECT_GT(found.created_ns, 0);
}

TEST_F(Store, FindsByNameIdAndUniquePrefix) {
  ContainerSpec first = spec("one");
  first.id = "ab" + std::string(62, '0');
  ContainerSpec second = spec("two");
  second.id = "ac" + std::string(62, '0');
  want(create(first));
  want(create(second));
  EXPECT_EQ(want(store_.find("one")).spec.id, first.id);
  EXPECT_EQ(want(store_.find(second.id)).spec.name, "two");
  EXPECT_EQ(want(store_.find("ab")).spec.name, "one");
  EXPECT_THAT(
      error_of(store_.find("a")),
      testing::StartsWith("find container 'a': Invalid argument (2 ids begin so, those of "));
}

TEST_F(Store, NamesWhatThereIsWhenItFindsNone) {
  EXPECT_EQ(error_of(store_.find("x")),
            "find container 'x': No such file or directory (there is no container)");
  want(create(spec("web")));
  EXPECT_EQ(error_of(store_.find("x")),
            "find container 'x': No such file or directory (there are web)");
  EXPECT_FALSE(store_.find("").has_value());
}

TEST_F(Store, InventsNamesOfTwoWords) {
  std::set<std::string> names;
  for (int i = 0; i < 3; ++i) names.insert(want(create(spec(""))).spec.name);
  EXPECT_EQ(names.size(), 3U);
  for (const auto& name : names) EXPECT_THAT(name, testing::MatchesRegex("[a-z]+_[a-z]+"));
}

TEST_F(Store, RefusesANameThatIsTakenAndLeavesNothing) {
  const Container made = want(create(spec("web")));
  EXPECT_EQ(error_of(create(spec("web"))),
            "create container 'web': File exists (container " + made.spec.id.substr(0, 12) +
                " has this name; choose another or `vch rm` that one)");
  EXPECT_THAT(entries(), testing::ElementsAre(made.spec.id));
}

TEST_F(Store, RefusesWhatIsNoName) {
  for (const char* name : {"-x", "a b", "a/b", ".", "\xc3\xa4", "_a"}) {
    EXPECT_THAT(error_of(create(spec(name))), testing::StartsWith("container name '")) << name;
  }
  EXPECT_TRUE(create(spec("a.B-1_")).has_value());
}

TEST_F(Store, GivesANameToOneOfManyWhoWantItAtOnce) {
  std::atomic<int> made = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { made += create(spec("web")).has_value() ? 1 : 0; });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(made, 1);
  EXPECT_EQ(entries().size(), 1U);
}

TEST_F(Store, LeavesNothingWhenTheImageIsMissing) {
  EXPECT_EQ(error_of(store_.create(spec("web"), {}, scratch_ + "/none", 16 << 20)),
            "link the image disk " + scratch_ + "/none: No such file or directory");
  EXPECT_THAT(entries(), testing::IsEmpty());
}

TEST_F(Store, RefusesAConfigurationThatTheMachineCouldNotTake) {
  protocol::pb::ContainerVm config;
  config.mutable_primary()->add_argv(std::string(2 << 20, 'x'));
  EXPECT_THAT(error_of(store_.create(spec("web"), config, image_, 16 << 20)),
              testing::StartsWith("create container web: Argument list too long (command"));
  EXPECT_THAT(entries(), testing::IsEmpty());
}

TEST_F(Store, ListsTheNewestFirst) {
  ContainerSpec old = spec("old");
  old.created_ns = 1;
  want(create(spec("new")));
  want(create(old));
  const auto all = want(store_.list());
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].spec.name, "new");
  EXPECT_EQ(all[1].spec.name, "old");
}

TEST_F(Store, RemovesAContainerWithItsDirectory) {
  const Container made = want(create(spec("web")));
  EXPECT_TRUE(store_.remove(made).has_value());
  EXPECT_THAT(entries(), testing::IsEmpty());
  EXPECT_EQ(::access(image_.c_str(), F_OK), 0);
  EXPECT_EQ(error_of(store_.remove(made)), "remove container web: No such file or directory");
}

TEST_F(Store, RefusesToRemoveWhatRuns) {
  const Container made = want(create(spec("web")));
  const auto machine = want(take_lock(made.file("machine.lock")));
  EXPECT_EQ(
      error_of(store_.remove(made)),
      "remove container web: Device or resource busy (its machine runs; stop it first, or use "
      "`vch rm -f`)");
  EXPECT_THAT(entries(), testing::ElementsAre(made.spec.id));
}

TEST_F(Store, ShowsAndRemovesAContainerWhoseDescriptionIsDamaged) {
  const Container made = want(create(spec("web")));
  for (const char* text : {"", "{\"id\":1}", "[]", "{"}) {
    ASSERT_TRUE(common::write_file_atomically(made.file("container.json"), text).has_value());
    const auto all = want(store_.list());
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0].spec.id, made.spec.id);
    EXPECT_THAT(all[0].spec.image, testing::HasSubstr("container.json: Bad message"));
  }
  EXPECT_TRUE(store_.remove(want(store_.find(made.spec.id.substr(0, 8)))).has_value());
}

TEST_F(Store, ClearsAwayWhatAKilledCreatorLeft) {
  const std::string left = state_.containers() + "/.new-killed";
  std::filesystem::create_directory(left);
  std::filesystem::last_write_time(
      left, std::filesystem::file_time_type::clock::now() - std::chrono::hours(2));
  std::filesystem::create_directory(state_.containers() + "/.new-making");
  const Container made = want(create(spec("web")));
  EXPECT_THAT(entries(), testing::UnorderedElementsAre(made.spec.id, ".new-making"));
}

TEST(ContainerSpecJson, TakesDefaultsForWhatIsMissingAndIgnoresWhatIsNew) {
  const auto spec =
      want(parse_container_spec(R"({"id":"a","name":"b","new":{"x":[]}})", "container.json"));
  EXPECT_EQ(spec.cpus, 1U);
  EXPECT_EQ(spec.accelerator, "auto");
}

TEST(ContainerSpecJson, SurvivesArgumentsThatAreNoText) {
  ContainerSpec spec;
  spec.command = {"\xff\xfe"};
  EXPECT_EQ(want(parse_container_spec(to_json(spec), "x")).command[0], "\xef\xbf\xbd\xef\xbf\xbd");
}

}  // namespace
}  // namespace vch
