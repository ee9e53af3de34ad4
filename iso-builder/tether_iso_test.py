"""tether-iso as a person meets it: exit codes and one line for each mistake."""

import json
import os
import struct
import subprocess
import tempfile
import unittest

TETHER_ISO = os.environ["TETHER_ISO"]
PEM = b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"


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


def small_efi_kernel():
    """The same with the beginning of a PE header."""
    kernel = bytearray(small_kernel())
    kernel[0:2] = b"MZ"
    struct.pack_into("<I", kernel, 0x3C, 0x80)
    kernel[0x80:0x84] = b"PE\0\0"
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

    def read(self, path):
        with open(path, "rb") as file:
            return file.read()

    def piped(self, *arguments, stdin=b""):
        done = subprocess.run([TETHER_ISO, *arguments], input=stdin, capture_output=True, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return done.stdout

    def build(self, *more, **env):
        output = () if "-o" in more else ("-o", self.iso)
        return self.run_it("build", "--kernel", self.kernel, "--agent", self.agent, *output, *more, **env)

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
        shown = self.run_it("inspect", "--format", "json", self.iso)
        self.assertEqual(shown.stdout, self.run_it("inspect", "--json", self.iso).stdout)
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
        self.assertEqual((bad.returncode, bad.stdout), (3, ""))
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

    def test_missing_files_name_their_packages(self):
        self.assert_refused(self.build("--isolinux", "/nowhere"), 1, "install the package isolinux")
        self.assert_refused(self.build("--ldlinux", "/nowhere"), 1,
                            "install the package syslinux-common")
        self.kernel = self.file("efi-kernel", small_efi_kernel())
        self.assert_refused(self.build("--efi-stub", "/nowhere"), 1,
                            "install the package systemd-boot-efi")

    def test_it_needs_no_program_no_scratch_space_and_no_right(self):
        empty = os.path.join(self.scratch, "empty")
        self.assert_built(self.build(PATH="/nowhere", TMPDIR="/nowhere", HOME="/nowhere"))
        os.mkdir(empty)
        self.assertEqual(sorted(os.listdir(self.scratch)), ["agent", "empty", "kernel", "out.iso"])

    def test_everything_can_go_through_pipes(self):
        whole = self.piped("build", "--kernel", self.kernel, "--agent", self.agent, "-o", "-")
        changed = self.piped("customise", "-", "--append", "a=b", "-o", "-", stdin=whole)
        self.assertEqual(json.loads(self.piped("inspect", "--json", "-", stdin=changed))["command_line"].split()[-1],
                         "a=b")
        self.assertEqual(self.piped("extract", "-", "agent", "-o", "-", stdin=changed), small_agent())
        self.piped("verify", "-", stdin=changed)

    def test_building_twice_elsewhere_and_later_gives_the_same_bytes(self):
        self.kernel = self.file("efi-kernel", small_efi_kernel())
        self.assert_built(self.build("--ca", self.file("ca.pem", PEM)))
        first = self.read(self.iso)
        with tempfile.TemporaryDirectory(prefix="another-place-") as other:
            for name, content in (("k", small_efi_kernel()), ("a", small_agent()), ("ca.pem", PEM)):
                with open(os.path.join(other, name), "wb") as file:
                    file.write(content)
                os.utime(file.name, (2000000000, 2000000000))
            again = subprocess.run(
                [TETHER_ISO, "build", "--kernel", "k", "--agent", "a", "--ca", "ca.pem", "-o", "again.iso"], cwd=other,
                env={"TZ": "Asia/Kathmandu", "LANG": "C.UTF-8"}, umask=0o077, check=False)
            self.assertEqual(again.returncode, 0)
            self.assertTrue(self.read(os.path.join(other, "again.iso")) == first)

    def test_readers_that_are_not_ours_find_the_same(self):
        self.kernel = self.file("efi-kernel", small_efi_kernel())
        self.assert_built(self.build())
        subprocess.run(["xorriso", "-osirrox", "on", "-indev", self.iso, "-extract", "/tether/bzImage",
                        f"{self.scratch}/seen"], check=True, capture_output=True)
        self.assertEqual(self.read(f"{self.scratch}/seen"), small_efi_kernel())
        with open(self.iso, "rb") as file:
            table = file.read(512)
        first, sectors = struct.unpack_from("<II", table, 446 + 16 + 8)
        self.assertEqual(table[446 + 16 + 4], 0xEF)
        volume = self.file("fat", self.read(self.iso)[first * 512:(first + sectors) * 512])
        subprocess.run(["mcopy", "-i", volume, "::/EFI/BOOT/BOOTX64.EFI", f"{self.scratch}/seen.efi"], check=True)
        uki = self.piped("extract", self.iso, "uki", "-o", "-")
        self.assertTrue(self.read(f"{self.scratch}/seen.efi") == uki)
        self.assertIn(small_efi_kernel(), uki)

    def test_customise_changes_what_is_named_and_nothing_else(self):
        self.assert_built(self.build("--busybox", self.agent, "--cmdline", "quiet", SOURCE_DATE_EPOCH="1700000000"))
        own = os.path.join(self.scratch, "own.iso")
        hook = self.file("10-hook", b"#!/tools/busybox sh\n")
        os.mkdir(f"{self.scratch}/fw")
        self.file("fw/card.bin", b"firmware")
        self.assert_built(self.run_it(
            "customise", self.iso, "-o", own, "--append", "a=b", "--ca", self.file("ca.pem", PEM), "--hook",
            f"root={hook}", "--firmware", f"{self.scratch}/fw", "--config", self.file("config.pb", b"config")))
        was, now = (json.loads(self.run_it("inspect", "--json", iso).stdout) for iso in (self.iso, own))
        self.assertEqual(now["command_line"], "quiet a=b")
        self.assertEqual([file["path"] for file in now["files"]],
                         ["/lib/firmware/card.bin", "/tools/authorities.pem", "/tools/config",
                          "/tools/hooks/root/10-hook"])
        for same in ("kernel", "agent", "busybox", "loader", "time"):
            self.assertEqual(now[same], was[same])
        self.assertEqual(self.run_it("verify", own).returncode, 0)
        # And back.
        back = os.path.join(self.scratch, "back.iso")
        without = [word for file in now["files"] for word in ("--without", file["path"])]
        self.assert_built(self.run_it("customise", own, "-o", back, "--cmdline", "quiet", *without))
        self.assertTrue(self.read(back) == self.read(self.iso))

    def test_customise_names_what_it_cannot_take(self):
        self.assert_built(self.build())
        for words, said in ((("--hook", "late=x"), "early, root, stop"), (("--hook", "x"), "STAGE=FILE"),
                            (("--debug-shell", "root"), "busybox"), (("--ca", self.kernel), "not PEM"),
                            (("--without", "/nothing"), "/nothing"), (("--agent", "/bin/true"), "dynamic loader")):
            self.assert_refused(self.run_it("customise", self.iso, "-o", f"{self.scratch}/x", *words), 1, said)
        self.assertFalse(os.path.exists(f"{self.scratch}/x"))

    def test_extract_gives_the_parts(self):
        self.assert_built(self.build("--cmdline", "quiet"))
        folder = os.path.join(self.scratch, "parts")
        self.assert_built(self.run_it("extract", self.iso, "-C", folder))
        self.assertEqual(sorted(os.listdir(folder)), ["agent", "cmdline", "initramfs", "kernel", "manifest", "sbom"])
        self.assertEqual(self.read(f"{folder}/kernel"), small_kernel())
        self.assertEqual(self.read(f"{folder}/cmdline"), b"quiet\n")
        self.assertEqual(json.loads(self.read(f"{folder}/sbom"))["spdxVersion"], "SPDX-2.3")
        self.assertEqual(json.loads(self.read(f"{folder}/manifest"))["agent"]["size"], len(small_agent()))
        self.assert_refused(self.run_it("extract", self.iso, "uki", "-C", folder), 1, "uki", "there are kernel")
        self.assert_refused(self.run_it("extract", self.iso, "-o", "-"), 1, "takes one part")
        self.assert_refused(self.run_it("extract", self.iso, "-o", "-", "-C", "x"), 2, "extract --help")

    def test_other_forms(self):
        disk = os.path.join(self.scratch, "disk.img")
        self.assert_built(self.build("--format", "disk", "-o", disk))
        self.assertEqual(os.path.getsize(disk) % (1 << 20), 0)
        self.assertEqual(self.run_it("verify", disk).returncode, 0)
        self.assert_refused(self.build("--format", "uki"), 1, "CONFIG_EFI_STUB")
        self.assert_refused(self.build("--format", "floppy"), 2, "floppy")

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
