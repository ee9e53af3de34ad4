"""Drives the built vch as a user does: a real state directory, real machines."""

import json
import os
import signal
import subprocess
import tempfile
import unittest

BUILD = os.environ["TETHER_BUILD"]
SOURCE = os.environ["TETHER_SOURCE"]
VCH = os.path.join(BUILD, "bin", "vch")
TETHER_ISO = os.path.join(BUILD, "bin", "tether-iso")
FULL = os.environ.get("TETHER_FULL") == "1"
TIMEOUT = 240  # a bound for what hangs; no test waits for it


def vch(*arguments, stdin=None, env=None, timeout=TIMEOUT, **more):
    """Runs vch to its end; stdout and stderr are bytes."""
    return subprocess.run(
        [VCH, *arguments],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {})},
        timeout=timeout,
        check=False,
        **more,
    )


def inspect(name):
    result = vch("inspect", name)
    if result.returncode != 0:
        raise AssertionError(result.stderr.decode())
    return json.loads(result.stdout)[0]


def kill_shim(name):
    """Reads the lock's file alone: asking vch would start another shim."""
    with open(os.path.join(inspect(name)["Directory"], "shim.lock"), encoding="ascii") as file:
        pid = int(file.read())
    os.kill(pid, signal.SIGKILL)


class VmTest(unittest.TestCase):
    """Has a scratch directory, and removes the containers it named."""

    longMessage = True

    def setUp(self):
        # What was found out about this host is said once for each boot of it, not in a test's stderr.
        scratch = tempfile.TemporaryDirectory(prefix="tether-vm-")
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name

    def name(self, suffix="c"):
        name = f"{type(self).__name__}-{self._testMethodName}-{suffix}-{os.getpid()}"
        self.addCleanup(vch, "rm", "-f", name)
        return name

    def volume(self, suffix="v", size="64m"):
        name = f"{self.name(suffix)}".lower()
        self.addCleanup(vch, "volume", "rm", "-f", name)
        self.assert_ended(vch("volume", "create", name, "--size", size), 0, f"{name}\n".encode())
        return name

    def disk_of(self, volume):
        result = vch("volume", "inspect", "-f", "{{.Mountpoint}}", volume)
        self.assert_ended(result, 0)
        return result.stdout.decode().strip()

    def run_vm(self, *arguments, **more):
        """`vch run --rm` with these arguments."""
        return vch("run", "--rm", *arguments, **more)

    def sh(self, script, *flags, image="busybox", **more):
        """A shell script in a machine of its own."""
        return self.run_vm(*flags, image, "sh", "-c", script, **more)

    def assert_ended(self, result, code, stdout=None, stderr=None):
        where = f"stdout {result.stdout[-2000:]!r}, stderr {result.stderr[-2000:]!r}"
        self.assertEqual(result.returncode, code, where)
        if stdout is not None:
            self.assertEqual(result.stdout, stdout, where)
        if stderr is not None:
            self.assertEqual(result.stderr, stderr, where)

    def assert_disk_clean(self, disk):
        """It has been mounted, and was unmounted: there is nothing to be replayed or put right."""
        result = subprocess.run(["/usr/sbin/dumpe2fs", "-h", disk], capture_output=True, check=True)
        seen = dict(line.split(":", 1) for line in result.stdout.decode().splitlines() if ":" in line)
        self.assertNotEqual(seen["Last mount time"].strip(), "n/a", disk)
        self.assertEqual(seen["Filesystem state"].strip(), "clean", disk)
        self.assertNotIn("needs_recovery", seen["Filesystem features"].split(), disk)

    def disks_of(self, name):
        """Those that a container writes to: its root's, then volumes."""
        seen = inspect(name)
        own = {"disk": ["writable.ext4"], "direct": ["image.ext4"]}.get(seen["Root"]["Layer"], [])
        volumes = [volume["Name"] for volume in seen["Volumes"]
                   if volume["Type"] == "volume" and not volume["ReadOnly"]]
        return [os.path.join(seen["Directory"], file) for file in own] + [self.disk_of(v) for v in volumes]

    def assert_clean_end(self, name, disks=2):
        """Its machine ends, if it has not, and has unmounted as many disks of the container's."""
        while inspect(name)["Machine"]["Pid"] is not None:
            pass
        found = self.disks_of(name)
        self.assertEqual(len(found), disks, found)
        for disk in found:
            self.assert_disk_clean(disk)

    def assert_one_line(self, result, code, *words):
        """It failed with this code and one line of vch's on stderr that holds all the words."""
        text = result.stderr.decode()
        self.assertEqual(result.returncode, code, text)
        self.assertTrue(text.startswith("vch: "), text)
        self.assertEqual(text.count("\n"), 1, text)
        self.assertTrue(text.endswith("\n"), text)
        for word in words:
            self.assertIn(word, text)
