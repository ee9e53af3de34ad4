"""Volumes: disks that outlive containers."""

import subprocess

from vch_testing import VCH, VmTest, vch


class Volumes(VmTest):
    def volume(self, suffix="v", size="64m"):
        name = f"{self.name(suffix)}".lower()
        self.addCleanup(vch, "volume", "rm", name)
        self.assert_ended(vch("volume", "create", name, "--size", size), 0, f"{name}\n".encode())
        return name

    def test_what_is_written_is_there_next_time(self):
        name = self.volume()
        script = "mkdir /data/deep; echo kept >/data/deep/file; chown 12:34 /data/deep/file"
        self.assert_ended(self.sh(script, "-v", f"{name}:/data"), 0, b"", b"")
        script = "cat /else/where/deep/file; stat -c %u:%g /else/where/deep/file; df -k /else/where"
        result = self.sh(script, "-v", f"{name}:/else/where:ro")
        self.assert_ended(result, 0, stderr=b"")
        first, owner, *rest = result.stdout.decode().splitlines()
        self.assertEqual((first, owner), ("kept", "12:34"))
        self.assertLess(int(rest[-1].split()[1]), 65 * 1024)
        self.assertIn(name, vch("volume", "ls").stdout.decode())

    def test_read_only_is_honoured(self):
        name = self.volume()
        result = self.sh("touch /data/x; echo $?; mount -o remount,rw /data; echo $?",
                         "-v", f"{name}:/data:ro")
        self.assert_ended(result, 0)
        self.assertNotIn("0", result.stdout.decode().splitlines())
        self.assertIn(b"Read-only file system", result.stderr)

    def test_nested_volumes_are_mounted_outer_first(self):
        outer, inner = self.volume("outer"), self.volume("inner")
        script = "touch /a/outer /a/b/inner; ls /a/b; grep -c ' /a' /proc/mounts"
        result = self.sh(script, "-v", f"{inner}:/a/b", "-v", f"{outer}:/a")
        self.assert_ended(result, 0, b"inner\n2\n", b"")

    def test_one_in_use_is_refused_and_cannot_be_removed(self):
        volume, name = self.volume(), self.name()
        with subprocess.Popen([VCH, "run", "--name", name, "-i", "-v", f"{volume}:/data", "busybox",
                               "sh", "-c", "echo ready; read line"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            self.assert_one_line(self.sh("true", "-v", f"{volume}:/data"), 125, volume, "in use")
            self.assert_one_line(vch("volume", "rm", volume), 1, volume, "in use")
            process.stdin.write(b"\n")
        self.assertEqual(process.returncode, 0)
        self.assert_one_line(vch("volume", "rm", volume), 1, volume, name)
        self.assert_ended(vch("rm", name), 0)
        self.assert_ended(vch("volume", "rm", volume), 0)

    def test_missing_ones_are_made_as_docker_does(self):
        name = f"made-{self.name()}".lower()
        self.addCleanup(vch, "volume", "rm", name)
        self.assert_ended(self.sh("touch /data/x", "-v", f"{name}:/data"), 0, b"", b"")
        self.assertIn(name, vch("volume", "ls", "-q").stdout.decode())
