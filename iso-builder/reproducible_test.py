"""Agent and kernel once more, from a copy of the sources in another directory, without a compiler cache: the same bytes.

That takes many minutes, so it runs in `scripts/test --full` alone. The ISO and its initramfs are built twice each day,
by tether_iso_test.py."""

import filecmp
import os
import re
import shutil
import subprocess
import tempfile
import unittest

BUILD = os.environ["TETHER_BUILD"]
SOURCE = os.environ["TETHER_SOURCE"]


@unittest.skipUnless(os.environ.get("TETHER_FULL") == "1", "compiles everything once more: scripts/test --full")
class Reproducible(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="tether-again-")
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name
        self.source = os.path.join(self.scratch, "another", "place")
        # At the top alone: bootstrap-kernel/build is a program.
        shutil.copytree(SOURCE, self.source, symlinks=True,
                        ignore=lambda folder, names: {"build", ".git"} & set(names) if folder == SOURCE else set())

    def run_it(self, *command, **env):
        done = subprocess.run(command, cwd=self.source, env={**os.environ, "CCACHE_DISABLE": "1", **env}, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stdout[-3000:])
        return done.stdout

    def assert_same(self, first, second):
        self.assertTrue(filecmp.cmp(first, second, shallow=False), f"cmp {first} {second}")

    def test_the_agent(self):
        with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as file:
            options = re.findall(r"^(?:TETHER_SSH|CMAKE_BUILD_TYPE):\w+=\w*$", file.read(), re.MULTILINE)
        build = os.path.join(self.scratch, "b")
        self.run_it("cmake", "-G", "Ninja", "-B", build, *[f"-D{option}" for option in options])
        self.run_it("cmake", "--build", build, "--target", "tether-agent")
        self.assert_same(os.path.join(BUILD, "bin", "tether"), os.path.join(build, "bin", "tether"))

    def test_the_kernel(self):
        cache = os.path.join(self.scratch, "cache")
        result = self.run_it("bootstrap-kernel/build", XDG_CACHE_HOME=cache).splitlines()[-1]
        for name in ("bzImage", "System.map", "config"):
            self.assert_same(os.path.join(BUILD, "kernel", name), os.path.join(result, name))


if __name__ == "__main__":
    unittest.main()
