"""tether-iso as a person meets it: exit codes and one line for each mistake."""

import json
import os
import struct
import subprocess
import tempfile
import unittest

TETHER_ISO = os.environ["TETHER_ISO"]


def small_kernel():
    """A boot header and 64 KiB of payload."""
    kernel = bytearray(5 * 512 + 65536)
    kernel[0x1F1] = 4
    struct.pack_into("<I", kernel, 0x1F4, 65536 // 16)
    struct.pack_into("<H2x4sH6xH", kernel, 0x1FE, 0xAA55, b"HdrS", 0x20F, 0x300)
    kernel[0x211] = 1
    struct.pack_into("<I", kernel, 0x238, 2047)
    kernel[0x500:0x50C] = b"6.1.0-test x"
    return bytes(kernel)


def small_agent():
    """One loadable segment that covers the file."""
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 120, 120, 4096)


class TetherIso(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="tether-iso-")
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name
        self.kernel = self.file("kernel", small_kernel())
        self.agent = self.file("agent", small_agent())
        self.iso = os.path.join(self.scratch, "out.iso")

    def file(self, name, content):
        path = os.path.join(self.scratch, name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def run_it(self, *arguments, **env):
        return subprocess.run([TETHER_ISO, *arguments], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, **env})

    def build(self, *more, **env):
        return self.run_it("build", "--kernel", self.kernel, "--agent", self.agent, "-o", self.iso,
                           *more, **env)

    def assert_refused(self, result, code, *words):
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertRegex(result.stderr, r"\Atether-iso: [^\n]+\n\Z")
        for word in words:
            self.assertIn(word, result.stderr)

    def assert_built(self, result):
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def test_build_inspect_verify(self):
        self.assert_built(self.build("--cmdline", "quiet a=b"))
        shown = self.run_it("inspect", "--json", self.iso)
        seen = json.loads(shown.stdout)
        self.assertEqual(seen["kernel"]["version"], "6.1.0-test")
        self.assertEqual(seen["command_line"], "quiet a=b")
        self.assertEqual(seen["agent"]["size"], len(small_agent()))
        self.assertEqual(seen["iso"]["size"], os.path.getsize(self.iso))
        self.assertIs(seen["matches_manifest"], True)
        table = self.run_it("inspect", self.iso).stdout
        for text in ("Linux 6.1.0-test", "quiet a=b", seen["agent"]["sha256"]):
            self.assertIn(text, table)
        good = self.run_it("verify", self.iso, "--kernel", self.kernel, "--agent", self.agent,
                           "--cmdline", "quiet a=b")
        self.assertEqual((good.returncode, good.stderr), (0, ""))

    def test_verify_names_each_difference_on_a_line(self):
        self.assert_built(self.build())
        other = self.file("other", small_agent() + b"x")
        bad = self.run_it("verify", self.iso, "--agent", other, "--cmdline", "x")
        self.assertEqual((bad.returncode, bad.stdout), (1, ""))
        lines = bad.stderr.splitlines()
        self.assertEqual(len(lines), 3, lines)
        self.assertIn("agent: is not " + other, lines[0])
        self.assertIn("command line: is not 'x' but", lines[1])
        self.assertIn("2 differences", lines[2])

    def test_what_is_no_kernel(self):
        self.kernel = self.file("kernel", b"not a kernel")
        self.assert_refused(self.build(), 1, self.kernel, "is not a bzImage")
        self.assertFalse(os.path.exists(self.iso))

    def test_a_dynamic_agent(self):
        self.agent = "/bin/true"
        self.assert_refused(self.build(), 1, "/bin/true", "dynamic loader /lib64/ld-linux-x86-64.so.2")

    def test_a_missing_file(self):
        self.agent = os.path.join(self.scratch, "none")
        self.assert_refused(self.build(), 1, self.agent, "No such file or directory")

    def test_a_command_line_of_two_lines_or_too_long(self):
        self.assert_refused(self.build("--cmdline", "a\nb"), 1, "command line", "byte 1")
        self.assert_refused(self.build("--cmdline", "a" * 3000), 1, "command line", "3000 bytes")

    def test_an_output_that_cannot_be_written(self):
        self.iso = os.path.join(self.scratch, "none", "out.iso")
        self.assert_refused(self.build(), 1, self.iso, "No such file or directory")

    def test_missing_programs_name_their_packages(self):
        self.assert_refused(self.build(PATH="/nowhere"), 1, "xorriso", "install the package xorriso")
        self.assert_refused(self.build("--isolinux", "/nowhere"), 1, "install the package isolinux")
        self.assert_refused(self.build("--ldlinux", "/nowhere"), 1,
                            "install the package syslinux-common")

    def test_no_scratch_directory(self):
        self.assert_refused(self.build(TMPDIR=os.path.join(self.scratch, "none")), 1, "TMPDIR")

    def test_a_bad_source_date(self):
        self.assert_refused(self.build(SOURCE_DATE_EPOCH="today"), 1, "SOURCE_DATE_EPOCH 'today'")

    def test_a_truncated_iso_and_something_else(self):
        self.assert_built(self.build())
        with open(self.iso, "rb") as file:
            whole = file.read()
        cut = self.file("cut.iso", whole[:-2048])
        for command in ("inspect", "verify"):
            self.assert_refused(self.run_it(command, cut), 1, cut, "cut short")
            self.assert_refused(self.run_it(command, self.kernel), 1, "not an ISO 9660 image")

    def test_usage(self):
        self.assert_refused(self.run_it(), 2, "--help")
        self.assert_refused(self.run_it("build", "--agent", self.agent), 2, "--kernel",
                            "tether-iso build --help")
        self.assert_refused(self.run_it("inspect", self.iso, "--yaml"), 2, "--yaml")


if __name__ == "__main__":
    unittest.main()
