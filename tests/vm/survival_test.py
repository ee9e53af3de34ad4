"""What goes on when parts of the host end are killed, what is said when the machine dies, and how it ends with its host."""

import glob
import hashlib
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import threading

from clock_test import qmp
from ssh_fixture import wait_until
from vch_testing import FULL, VCH, VmTest, inspect, vch

MIB = 1 << 20


class ShimKilled(VmTest):
    def test_no_byte_is_lost_or_repeated_in_either_direction(self):
        seed = int(os.environ.get("TETHER_SEED", random.randrange(1 << 32)))
        print(f"TETHER_SEED={seed}")
        generator = random.Random(seed)
        kills = 100 if FULL else 8
        name, size = self.name(), (256 if FULL else 24) * MIB
        sent = b"".join(generator.randbytes(MIB) for _ in range(size // MIB))
        with subprocess.Popen([VCH, "run", "-i", "--name", name, "busybox", "cat"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            writer = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=process.stdin)
            process.stdin.close()
            feeder = threading.Thread(
                target=lambda: (writer.stdin.write(sent), writer.stdin.close()))
            feeder.start()
            received, killed = bytearray(), 0
            while piece := os.read(process.stdout.fileno(), 1 << 16):
                received += piece
                if killed < kills and len(received) > size * (killed + generator.random()) / kills:
                    if (pid := inspect(name)["Shim"]["Pid"]) is not None:
                        os.kill(pid, signal.SIGKILL)
                        killed += 1
            feeder.join()
            writer.wait()
        self.assertEqual(process.returncode, 0)
        self.assertGreaterEqual(killed, kills // 2)
        self.assertEqual(len(received), size)
        self.assertEqual(hashlib.sha256(received).digest(), hashlib.sha256(sent).digest())


class MachineKilled(VmTest):
    def test_a_machine_that_dies_without_a_word_is_125_and_named(self):
        name = self.name()
        with subprocess.Popen([VCH, "run", "--name", name, "busybox", "sh", "-c",
                               "echo ready; sleep 1000"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            os.kill(inspect(name)["Machine"]["Pid"], signal.SIGKILL)
            stderr = process.stderr.read().decode()
        self.assertEqual(process.returncode, 125, stderr)
        self.assertIn("console.log", stderr)
        self.assertEqual(stderr.count("\n"), 1, stderr)
        seen = inspect(name)
        self.assertEqual((seen["State"], seen["ExitCode"]), ("exited", 125))
        self.assertIsNone(seen["Machine"]["Pid"])

    def test_vch_killed_leaves_the_machine_running(self):
        name = self.name()
        with subprocess.Popen([VCH, "run", "--name", name, "busybox", "sh", "-c",
                               "echo ready; sleep 1000"], stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            process.kill()
        self.assertEqual(inspect(name)["State"], "running")
        self.assert_ended(vch("stop", "-t", "1", name), 0)
        self.assertEqual(inspect(name)["ExitCode"], 137)


class HostGoesDown(VmTest):
    """Whoever shuts a host down presses the power button, or sends SIGTERM to everybody."""

    ENDS = ("trap 'wc -l </life >>/kept; echo bye; exit 7' TERM; echo >>/life; echo ready; "
            "while :; do sleep 1000000 & wait $!; done")  # it never syncs

    def look(self, name, *words):
        """What a tool of e2fsprogs says of the writable disk, as it lies there."""
        disk = os.path.join(inspect(name)["Directory"], "writable.ext4")
        return subprocess.run([*words, disk], check=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).stdout.decode()

    def assert_ended_cleanly(self, name, life):
        wait_until(self, "the machine's end", lambda: inspect(name)["Machine"]["Pid"] is None)
        wait_until(self, "the shim's end", lambda: inspect(name)["Shim"]["Pid"] is None)
        seen = inspect(name)  # nobody has started it again
        self.assertEqual((seen["State"], seen["ExitCode"], seen["Machine"]["Pid"]), ("exited", 7, None))
        told = vch("events", "--since", "0", "--until", "0s", "--format", "json", name).stdout.splitlines()
        told = [(event["Action"], event["Actor"]["Attributes"]) for event in map(json.loads, told)]
        begins = [i for i, (action, _) in enumerate(told) if action == "boot"]
        self.assertEqual(len(begins), life)
        actions = [action for action, _ in told[begins[-1]:]]
        self.assertEqual(actions[-1], "stop", actions)
        self.assertNotIn("restart", actions)
        kill, die = actions.index("kill"), actions.index("die")
        self.assertLess(kill, die, actions)
        self.assertEqual(actions.count("kill"), 1, actions)
        attributes = told[begins[-1] + kill][1]
        self.assertEqual((attributes["signal"], attributes.get("by")), ("15", "power button"))
        self.assertEqual(told[begins[-1] + die][1]["exitCode"], "7")
        lives = [str(number + 1) for number in range(life)]
        self.assertEqual(self.look(name, "/usr/sbin/debugfs", "-R", "cat /upper/kept").split(), lives)
        head = self.look(name, "/usr/sbin/dumpe2fs", "-h")
        self.assertRegex(head, r"(?m)^Filesystem state: +clean$")
        self.assertNotIn("needs_recovery", re.search(r"(?m)^Filesystem features:(.*)$", head)[1])

    def test_the_container_is_stopped_and_its_disk_is_clean(self):
        name = self.name()
        self.assert_ended(vch("run", "-d", "--restart", "always", "--on-panic", "reboot", "--name", name, "busybox",
                              "sh", "-c", self.ENDS), 0)
        wait_until(self, "its command", lambda: vch("logs", name).stdout == b"ready\n")
        # QEMU by itself takes nothing of the kind, in none of its threads.
        machine = inspect(name)["Machine"]["Pid"]
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(machine, number)
        for status in glob.glob(f"/proc/{machine}/task/*/status"):
            text = pathlib.Path(status).read_text(encoding="ascii")
            self.assertEqual(int(re.search(r"SigBlk:\t(\w+)", text)[1], 16) & 0x4003, 0x4003, text)
        self.assert_ended(vch("exec", name, "echo", "on"), 0, b"on\n", b"")
        self.assertEqual(inspect(name)["Machine"]["Pid"], machine)
        qmp(name, "system_powerdown")
        self.assert_ended_cleanly(name, 1)
        with subprocess.Popen([VCH, "start", "-a", name], stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            shim = inspect(name)["Shim"]["Pid"]
            for _ in range(2):
                os.kill(shim, signal.SIGTERM)
            self.assertEqual(process.stdout.read(), b"bye\n")  # served to the end
        self.assertEqual(process.returncode, 7)
        self.assert_ended_cleanly(name, 2)
