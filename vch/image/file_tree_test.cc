#include "vch/image/file_tree.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace vch {
namespace {

// Applies layers written as one word a member: "d:a" a directory, "f:a" a file, "s:a>b" a symbolic
// link, "h:a>b" a hard link.
class FileTreeTest : public testing::Test {
 protected:
  std::string add_layer(const std::vector<std::string>& members) {
    ++layer_;
    for (const std::string& text : members) {
      const auto status = tree_.add(parse(text), layer_, number_++);
      if (status.has_error()) return status.error().message();
    }
    return "ok";
  }

  static Member parse(const std::string& text) {
    const size_t arrow = text.find('>');
    Member member;
    member.path = text.substr(2, arrow == std::string::npos ? arrow : arrow - 2);
    const std::string target = arrow == std::string::npos ? "" : text.substr(arrow + 1);
    switch (text[0]) {
      case 'd':
        member.meta.mode = S_IFDIR | 0700U;
        break;
      case 's':
        member.meta.mode = S_IFLNK | 0777U;
        member.meta.target = target;
        break;
      case 'h':
        member.is_hard_link = true;
        member.meta.mode = 0644;
        member.link = target;
        break;
      default:
        member.meta.mode = S_IFREG | 0644U;
        member.meta.size = 1;
        break;
    }
    return member;
  }

  // Every path, directories with a slash behind.
  std::string paths() const {
    std::string text;
    list(FileTree::kRoot, "", text);
    return text;
  }

  void list(FileTree::Id id, const std::string& path, std::string& text) const {
    for (const auto& [name, child] : *tree_.node(id).children) {
      const bool is_directory = tree_.node(child.node).children != nullptr;
      text.append(text.empty() ? "" : " ").append(path).append(name);
      if (is_directory) text += "/";
      if (is_directory) list(child.node, path + name + "/", text);
    }
  }

  const FileTree::Node& node(const std::string& path) const { return tree_.node(tree_.find(path)); }

  FileTree tree_;
  uint32_t layer_ = 0;
  uint64_t number_ = 0;
};

TEST_F(FileTreeTest, TakesPathsRelativeToTheRoot) {
  EXPECT_EQ(add_layer({"f:/a", "f:./b", "f:c/../d", "f:e//f/./g", "d:h/"}), "ok");
  EXPECT_EQ(paths(), "a b d e/ e/f/ e/f/g h/");
}

TEST_F(FileTreeTest, RefusesAPathThatClimbsOut) {
  for (const char* bad : {"f:../x", "f:a/../../x", "f:/../x", "d:..", "h:x>../../etc/passwd"}) {
    EXPECT_NE(add_layer({bad}).find("climbs out of the image"), std::string::npos) << bad;
  }
  EXPECT_EQ(paths(), "");
}

TEST_F(FileTreeTest, RefusesASymbolicLinkThatClimbsOut) {
  EXPECT_EQ(add_layer({"s:x>../y"}), "member 'x': its link target '../y' climbs out of the image");
  EXPECT_NE(add_layer({"s:a/b/x>../../../y"}), "ok");
  EXPECT_NE(add_layer({"s:a/x>b/../../../y"}), "ok");
  EXPECT_NE(add_layer({"s:a/x>/../y"}), "ok");
  EXPECT_EQ(add_layer({"s:a/b/x>../../y", "s:z>/etc/../y", "s:..z>..z/../y"}), "ok");
}

TEST_F(FileTreeTest, MakesMissingParents) {
  EXPECT_EQ(add_layer({"f:a/b/c"}), "ok");
  EXPECT_EQ(node("a/b").meta.mode, S_IFDIR | 0755U);
  EXPECT_EQ(add_layer({"d:a"}), "ok");
  EXPECT_EQ(node("a").meta.mode, S_IFDIR | 0700U);
  EXPECT_EQ(paths(), "a/ a/b/ a/b/c");
}

TEST_F(FileTreeTest, LandsWhereASymbolicLinkLeadsInsideTheRoot) {
  EXPECT_EQ(add_layer({"d:usr/lib", "s:lib>usr/lib", "s:abs>/usr", "s:up>usr/../../usr"}),
            "member 'up': its link target 'usr/../../usr' climbs out of the image");
  EXPECT_EQ(add_layer({"f:lib/x", "f:abs/lib/y"}), "ok");
  EXPECT_EQ(paths(), "abs lib usr/ usr/lib/ usr/lib/x usr/lib/y");
  // The host's /etc is not meant, whatever a link says: the image's is made.
  EXPECT_EQ(add_layer({"s:evil>/etc", "f:evil/passwd"}), "ok");
  EXPECT_NE(tree_.find("etc/passwd"), FileTree::kNone);
  EXPECT_EQ(node("evil").meta.target, "/etc");
}

TEST_F(FileTreeTest, RefusesLinksThatLeadNowhereAtAll) {
  EXPECT_EQ(add_layer({"s:a>b", "s:b>a", "f:a/x"}),
            "member 'a/x': too many symbolic links in its path, at 'a'");
  EXPECT_EQ(add_layer({"f:plain", "f:plain/x"}),
            "member 'plain/x': lies below 'plain', which is no directory");
}

TEST_F(FileTreeTest, ReplacesOneTypeByAnotherAndBack) {
  EXPECT_EQ(add_layer({"d:a", "f:a/x", "d:a/y", "f:a/y/z"}), "ok");
  EXPECT_EQ(add_layer({"f:a"}), "ok");
  EXPECT_EQ(paths(), "a");
  EXPECT_EQ(add_layer({"d:a", "f:a/new"}), "ok");
  EXPECT_EQ(paths(), "a/ a/new");
  EXPECT_EQ(add_layer({"s:a>b"}), "ok");
  EXPECT_EQ(paths(), "a");
  // A directory over a link to a directory replaces the link, as in Docker.
  EXPECT_EQ(add_layer({"d:b", "d:a", "f:a/x"}), "ok");
  EXPECT_EQ(paths(), "a/ a/x b/");
}

TEST_F(FileTreeTest, HidesWhatAWhiteoutNames) {
  EXPECT_EQ(add_layer({"f:a", "d:d", "f:d/x", "d:d/e", "f:d/e/y", "f:keep"}), "ok");
  EXPECT_EQ(add_layer({"f:.wh.a", "f:d/.wh.e", "f:.wh.never-there", "f:nodir/.wh.x"}), "ok");
  EXPECT_EQ(paths(), "d/ d/x keep");
}

TEST_F(FileTreeTest, HidesLowerLayersAloneInWhateverOrder) {
  EXPECT_EQ(add_layer({"f:d/old", "f:e/old", "f:a"}), "ok");
  EXPECT_EQ(add_layer({"d:d", "f:d/new", "f:d/.wh..wh..opq", "f:e/.wh..wh..opq", "d:e", "f:e/new",
                       "f:a", "f:.wh.a"}),
            "ok");
  EXPECT_EQ(paths(), "a d/ d/new e/ e/new");
  EXPECT_EQ(add_layer({"f:d/third", "f:.wh.d"}), "ok");
  EXPECT_EQ(paths(), "a d/ d/third e/ e/new");
  // The hidden directory's own metadata went with it.
  EXPECT_EQ(node("d").meta.mode, S_IFDIR | 0755U);
}

TEST_F(FileTreeTest, KnowsWhiteoutsThatAreNone) {
  EXPECT_EQ(add_layer({"f:.wh."}), "member '.wh.': a whiteout of no name");
  EXPECT_EQ(add_layer({"f:d/.wh..."}), "ok");
  EXPECT_EQ(add_layer({"d:d", "f:d/.wh..."}), "member 'd/.wh...': a whiteout of no name");
  EXPECT_EQ(add_layer({"f:.wh..wh.plnk", "f:.wh..wh.aufs"}), "ok");
  EXPECT_EQ(paths(), "d/");
  FileTree literal(FileTree::From::kDirectory);
  EXPECT_TRUE(literal.add(parse("f:.wh.x"), 0, 0).has_value());
  EXPECT_NE(literal.find(".wh.x"), FileTree::kNone);
}

TEST_F(FileTreeTest, LinksWithinAndAcrossLayers) {
  EXPECT_EQ(add_layer({"f:d/a", "h:b>d/a", "s:l>d"}), "ok");
  EXPECT_EQ(add_layer({"h:c>/d/a", "h:e>l/a", "h:m>l"}), "ok");
  EXPECT_EQ(tree_.find("b"), tree_.find("d/a"));
  EXPECT_EQ(tree_.find("e"), tree_.find("d/a"));
  EXPECT_EQ(node("c").links, 4U);
  EXPECT_EQ(tree_.find("m"), tree_.find("l"));  // the link itself
  // Replacing one name leaves the others what they were.
  const auto old = tree_.find("b");
  EXPECT_EQ(add_layer({"f:d/a"}), "ok");
  EXPECT_EQ(tree_.find("c"), old);
  EXPECT_NE(tree_.find("d/a"), old);
  EXPECT_EQ(node("b").links, 3U);
  EXPECT_EQ(add_layer({"f:.wh.b", "f:.wh.c", "f:.wh.e"}), "ok");
  EXPECT_EQ(tree_.node(old).links, 0U);
}

TEST_F(FileTreeTest, RefusesHardLinksToNothingAndToDirectories) {
  EXPECT_EQ(add_layer({"d:d", "h:x>none"}),
            "member 'x': its hard link target 'none' is not in the image");
  EXPECT_EQ(add_layer({"h:x>d"}), "member 'x': its hard link target 'd' is a directory");
  EXPECT_EQ(add_layer({"h:x>/"}), "member 'x': its hard link target '/' is a directory");
  EXPECT_EQ(add_layer({"h:x>a/../../b"}),
            "member 'x': its hard link target 'a/../../b' climbs out of the image");
  EXPECT_EQ(add_layer({"f:f", "h:f>f"}), "ok");  // onto itself: nothing to do
  EXPECT_EQ(node("f").links, 1U);
}

TEST_F(FileTreeTest, SurvivesALinkToWhatItReplaces) {
  EXPECT_EQ(add_layer({"d:d", "f:d/a", "h:d>d/a"}), "ok");
  EXPECT_EQ(paths(), "d");
  EXPECT_EQ(node("d").links, 1U);
}

TEST_F(FileTreeTest, RefusesNamesThatLinuxCannotHold) {
  EXPECT_EQ(add_layer({"f:" + std::string(255, 'n')}), "ok");
  EXPECT_NE(add_layer({"f:" + std::string(256, 'n')}).find("a name in its path is too long"),
            std::string::npos);
  std::string deep;
  while (deep.size() + 200 < 4096) deep += std::string(199, 'd') + "/";
  EXPECT_EQ(add_layer({"f:" + deep + "x"}), "ok");
  EXPECT_NE(add_layer({"f:" + deep + std::string(199, 'x')}).find("longer than 4095 bytes"),
            std::string::npos);
  EXPECT_NE(add_layer({"s:long>" + std::string(5000, 't')}).find("link target is too long"),
            std::string::npos);
  EXPECT_EQ(add_layer({"s:empty>"}), "member 'empty': a symbolic link without a target");
  // A link cannot make a path longer than its member says, either.
  EXPECT_EQ(add_layer({"s:far>" + deep.substr(0, deep.size() - 1)}), "ok");
  EXPECT_NE(add_layer({"f:far/" + std::string(255, 'x') + "/y"}).find("longer than 4095 bytes"),
            std::string::npos);
}

TEST_F(FileTreeTest, KeepsTheRootsMetadata) {
  EXPECT_EQ(add_layer({"d:./"}), "ok");
  EXPECT_EQ(node("/").meta.mode, S_IFDIR | 0700U);
  EXPECT_EQ(add_layer({"f:/"}), "member '/': names the root as no directory");
}

TEST_F(FileTreeTest, RemovesAVeryDeepTree) {
  std::string path = "f:";
  for (int i = 0; i < 2000; ++i) path += "d/";
  EXPECT_EQ(add_layer({path + "x"}), "ok");
  EXPECT_EQ(add_layer({"f:d/.wh..wh..opq"}), "ok");
  EXPECT_EQ(paths(), "d/");
  EXPECT_EQ(add_layer({"f:d"}), "ok");
  EXPECT_EQ(paths(), "d");
}

}  // namespace
}  // namespace vch
