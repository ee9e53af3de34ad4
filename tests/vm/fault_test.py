"""A fault of PID 1 itself: the container ends as any other does, and everybody is told why."""

import json
import os
import pathlib
import re
import subprocess

from ssh_test import wait_until
from vch_testing import BUILD, VCH, VmTest, inspect, vch

FAULTS = os.path.join(BUILD, "tests", "agent-faults")  # does as /fault in the container says
CRASHES = os.path.join(BUILD, "tests", "agent-crashes")
TICKS = "n=$(wc -l </kept); while :; do n=$((n+1)); echo $n >>/kept; echo $n >>/data/kept; echo $n; usleep 20000; done"
INSTRUCTION = r", instruction 0x[0-9a-f]+ \(of tether 0\.1\.0-faults; please report it\)"


def events(name):
    """Of its last life."""
    result = vch("events", "--since", "0", "--until", "0s", "--format", "json", name)
    found = [json.loads(line) for line in result.stdout.splitlines()]
    return found[max(i for i, event in enumerate(found) if event["Action"] == "boot"):]


class Fault(VmTest):
    def start(self, *flags):
        volume, name = self.volume(), self.name()
        self.assert_ended(vch("run", "-d", "--name", name, "-v", f"{volume}:/data", *flags, "busybox", "sh",
                              "-c", ": >>/kept; " + TICKS), 0)
        return name

    def replace(self, name, agent, fault):
        """Its agent, by one that meets the fault; who asked for it is told something or other."""
        self.assert_ended(vch("exec", name, "sh", "-c", f"echo {fault} >/fault"), 0, b"", b"")
        return vch("upgrade", name, "--agent", agent)

    def assert_told(self, name, reason):
        """Everywhere, and once: what happened, and that the machine went off then."""
        while (seen := inspect(name))["Machine"]["Pid"] is not None:
            pass
        self.assertEqual((seen["State"], seen["ExitCode"]), ("exited", 125))
        self.assertRegex(seen["Error"], f"^internal fault of the agent: {reason}$")
        *before, failed, off = events(name)
        self.assertEqual((failed["Action"], off["Action"]), ("fail", "stop"))
        self.assertNotIn("fail", [event["Action"] for event in before])

    def assert_kept(self, name):
        """What was written before it was said is on the disks, which need no repair."""
        said = int(vch("logs", "--tail", "1", name).stdout)
        writable, volume = self.disks_of(name)
        for disk, path in ((writable, "/upper/kept"), (volume, "/kept")):
            kept = subprocess.run(["/usr/sbin/debugfs", "-R", f"cat {path}", disk], capture_output=True, check=True)
            self.assertGreaterEqual(int(kept.stdout.split()[-1]), said, path)

    def assert_no_panic(self, name):
        console = pathlib.Path(inspect(name)["Directory"], "console.log").read_bytes()
        self.assertNotIn(b"Kernel panic", console)

    def test_of_each_kind_ends_cleanly_and_is_told(self):
        name = self.start()
        for fault, reason in (("memory", "SIGSEGV at address 0x0" + INSTRUCTION),
                              ("stack", "SIGSEGV at address 0x[0-9a-f]+" + INSTRUCTION),
                              ("abort", "SIGABRT" + INSTRUCTION)):
            with self.subTest(fault):
                with subprocess.Popen([VCH, "attach", name], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.PIPE) as attached:
                    self.assertNotEqual(self.replace(name, FAULTS, fault).returncode, 0)
                    said = attached.stderr.read().decode()
                self.assertEqual(attached.returncode, 125, said)
                self.assertRegex(said, f"^vch: internal fault of the agent: {reason}\n$")
                self.assert_told(name, reason)
                self.assert_clean_end(name)
                self.assert_kept(name)
                self.assert_ended(vch("start", name), 0)  # with all that there was
        # The one before crashes in the new one's stead, and when it is back has a fault too.
        self.assert_ended(self.replace(name, FAULTS, "none"), 0)
        self.assertNotEqual(self.replace(name, CRASHES, "back").returncode, 0)
        self.assert_told(name, r"neither agent can go on: it met signal 11 \(of tether .*\)")
        self.assert_clean_end(name)
        self.assert_no_panic(name)

    def test_an_exception_is_one_too_and_on_panic_starts_it_again(self):
        name = self.start("--on-panic", "reboot", "--restart", "always")
        self.assertNotEqual(self.replace(name, FAULTS, "exception").returncode, 0)
        wait_until(self, "the next life", lambda: inspect(name)["Machine"]["Crashes"] == 1
                   and inspect(name)["State"] == "running")
        told = vch("events", "--since", "0", "--until", "0s", name).stdout.decode()
        self.assertRegex(told, r"fail .*internal fault of the agent: exception it would rather not \(of tether")
        self.assertEqual(re.findall(r" container (boot|start|die|fail|stop) ", told),
                         ["boot", "start", "fail", "stop", "boot", "start"])
        self.assert_no_panic(name)
        self.assert_ended(vch("kill", name), 0)

    def test_a_second_fault_ends_it_at_once_and_what_was_written_is_there(self):
        name = self.start()
        self.assertNotEqual(self.replace(name, FAULTS, "twice").returncode, 0)
        while (seen := inspect(name))["Machine"]["Pid"] is not None:
            pass
        self.assertEqual((seen["State"], seen["ExitCode"], seen["Error"]), ("exited", 125, ""))
        self.assert_no_panic(name)
        self.assert_ended(vch("start", name), 0)
        said = [int(line) for line in vch("logs", name).stdout.split()]
        self.assertEqual(said, sorted(set(said)))  # The next life counts on from its file's last line.
