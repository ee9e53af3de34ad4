"""What a root, fully privileged container may try against the agent of its machine: each must fail, and harmlessly.

docs/security.md lists all of it; security_test holds the two together.
"""

import os
import re
import select
import subprocess
import tempfile
import time

from escape_outcomes import OUTCOMES
from outside import Outside, watched_iso
from ssh_fixture import wait_until
from terminal import Terminal
from vch_testing import BUILD, VCH, VmTest, inspect, vch

TOOL = os.path.join(BUILD, "tests", "escape")

KILL_ESCAPE = ("for process in /proc/[0-9]*; do [ \"$(cat $process/comm)\" = escape ] && kill -KILL ${process#/proc/}; "
               "done; true")


def start(name, *flags, image="debian", command=("sleep", "10000")):
    result = vch("run", "-d", "--privileged", "--name", name, *flags, image, *command)
    if result.returncode != 0:
        raise AssertionError(result.stderr.decode())


def start_with_tool(name, *flags):
    start(name, *flags)
    result = vch("cp", TOOL, f"{name}:/escape")
    if result.returncode != 0:
        raise AssertionError(result.stderr.decode())


def shell(name, script, **more):
    return vch("exec", name, "sh", "-c", script, **more)


def event_actions(name):
    text = vch("events", "--since", "1h", "--until", "0s", "--filter", f"container={name}").stdout.decode()
    return [line.split(" container ", 1)[1].split(" ", 1)[0] for line in text.splitlines()]


class Untouched(VmTest):
    def assert_untouched(self, name):
        """The control plane answers, by the agent and the link process that were there from the start."""
        self.assert_ended(shell(name, "echo alive"), 0, b"alive\n")
        seen = inspect(name)
        self.assertEqual((seen["State"], seen["Agent"]["LinkRestarts"]), ("running", 0))
        actions = event_actions(name)
        self.assertLessEqual(actions.count("boot"), 1, actions)  # 0: output has rotated it away
        self.assertNotIn("link_die", actions)


class Escape(Untouched):
    """One machine: everything is tried once, then each test looks at its own line."""

    @classmethod
    def setUpClass(cls):
        cls.box = f"Escape-{os.getpid()}"
        cls.addClassCleanup(vch, "rm", "-f", cls.box)
        scratch = tempfile.TemporaryDirectory(prefix="tether-escape-")
        cls.addClassCleanup(scratch.cleanup)
        start_with_tool(cls.box, "--iso", watched_iso(scratch.name))
        cls.outside = Outside(cls.box)
        cls.begun = cls.outside.later_rounds(cls(), 1)[-1]
        result = vch("exec", cls.box, "/escape", timeout=900)
        cls.said = dict(line.split(" ", 1) for line in result.stdout.decode().splitlines())

    def test_what_pid_1_has_mounted_is_what_it_was(self):
        """What was unmounted within is there outside, and what was mounted within is not."""
        later = self.outside.later_rounds(self)[-1]
        listed = [one["mounted"] for one in self.outside.rounds() if "mounted" in one]
        self.assertEqual(later["mounts"], self.begun["mounts"], listed[-2:])
        self.assertIn(b" - tmpfs passed-up ", shell(self.box, "cat /proc/self/mountinfo").stdout)

    def test_what_would_be_seen_is_seen(self):
        """A helper that was started outside leaves its trace, another's namespace is joined."""
        self.assertEqual(vch("exec", self.box, "/escape", "trace").returncode, 1)
        self.assert_ended(shell(self.box, "touch /start-helper"), 0)
        wait_until(self, "the helper's end", lambda: "ran" in self.outside.rounds()[-1])
        self.assertEqual(self.outside.rounds()[-1]["ran"], 0)
        self.assert_ended(vch("exec", self.box, "/escape", "trace"), 0)
        other = shell(self.box, """
            unshare -m -u sleep 1000 & while ! [ "$(cat /proc/$!/comm)" = sleep ]; do :; done
            /escape joined_by_proc; /escape joined_by_pidfd; kill $!; echo $!""")
        by_proc, by_pidfd, pid = other.stdout.decode().splitlines()
        self.assertEqual(by_proc, f"joined_by_proc joined {pid}:mnt {pid}:uts")
        self.assertEqual(by_pidfd, f"joined_by_pidfd joined {pid}:mnt:uts")

    def test_nothing_of_it_is_left_out(self):
        self.assertEqual(sorted(self.said), sorted(OUTCOMES))

    def test_the_agent_is_the_same_and_answers(self):
        self.assert_untouched(self.box)
        self.assert_ended(shell(self.box, "echo x | cat; exit 3"), 3, b"x\n")
        self.assert_ended(vch("top", self.box), 0)

    def test_the_key_is_nowhere_to_be_read(self):
        """Nor in what the firmware handed over, nor in what the kernel says of its start."""
        directory = inspect(self.box)["Directory"]
        with open(os.path.join(directory, "config.pb"), "rb") as file:
            config = file.read()
        found = vch("exec", self.box, "sh", "-c",
                    "cat /proc/cmdline; dmesg 2>/dev/null; cat /sys/firmware/acpi/tables/* 2>/dev/null; "
                    "cat /proc/self/environ /proc/1/environ").stdout
        self.assertGreater(len(found), 100)
        key = config[config.index(b"\x0a\x20") + 2:][:32]  # Secrets.link_key
        self.assertEqual(len(key), 32)
        for form in (key, key.hex().encode(), key.hex().upper().encode()):
            self.assertNotIn(form, found)

    def test_a_forged_line_of_the_kernels_is_no_event(self):
        line = "Memory cgroup out of memory: Killed process 1 (forged) total-vm:1kB, anon-rss:1kB"
        self.assert_ended(shell(self.box, f"echo '<3>{line}' >/dev/kmsg"), 0)
        # It looks there when the kernel's own count goes up.
        shell(self.box, "head -c 2000000000 /dev/zero | tail -c 1900000000 >/dev/null", timeout=600)
        end = time.monotonic() + 60
        while "oom" not in event_actions(self.box) and time.monotonic() < end:
            time.sleep(0.2)
        text = vch("events", "--since", "1h", "--until", "0s", "--filter", f"container={self.box}").stdout
        self.assertIn(b" container oom ", text)
        self.assertNotIn(b"forged", text)
        self.assert_untouched(self.box)


    def test_a_process_caught_at_its_launch(self):
        """By its descriptors PID 1 is told nonsense without end, and answers others meanwhile."""
        with subprocess.Popen([VCH, "exec", "-i", self.box, "/escape", "caught_at_launch"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as tool:
            self.assertEqual(tool.stdout.readline(), b"frozen\n")
            Terminal(self).line(f"vch exec -it {self.box} echo launched")
            self.assertEqual(tool.stdout.readline(), b"caught\n")
            for _ in range(3):
                self.assert_ended(vch("top", self.box), 0)
            tool.stdin.close()
            self.assertIn(b"thawed ok\n", tool.stdout.read())
        self.assert_untouched(self.box)


def expects(attempt, wanted):
    def test(self):
        self.assertEqual(self.said.get(attempt), wanted)
    return test


for one, outcome in OUTCOMES.items():
    setattr(Escape, f"test_{one}", expects(one, outcome))


class OwnProgram(Untouched):
    """The agent's program and what it opens, where a container has a way to them."""

    def test_it_is_neither_written_to_nor_made_unusable(self):
        name = self.name()
        start(name, "--init")
        said = shell(name, """
            readlink /proc/1/exe
            chmod 000 /proc/1/exe
            chown 1 /proc/1/exe
            touch -m /proc/1/exe
            echo x >/proc/1/exe
            mkdir /there; touch /there/file
            mount --bind /proc/1/exe /there/file""")
        lines = said.stderr.decode().splitlines()
        self.assertEqual([line.rsplit(": ", 1)[-1].rstrip(".") for line in lines[:2]],
                         ["Read-only file system"] * 2, said)
        for line in lines[2:4]:
            self.assertRegex(line, "Text file busy|Read-only file system")
        self.assertRegex(lines[4], "^mount: ")
        self.assert_untouched(name)
        self.swap_nodes(name)

    def swap_nodes(self, name):
        """What stands at /dev/null of the kernel's own nodes is every container's to replace."""
        self.assert_ended(shell(name, """
            set -e
            mkdir /nodes; mount -t devtmpfs none /nodes
            mv /nodes/null /nodes/before
            mkfifo /nodes/null"""), 0)
        self.assert_ended(shell(name, "echo alive"), 0, b"alive\n")
        self.assert_ended(vch("restart-link", name), 0)
        self.assert_ended(shell(name, "echo alive"), 0, b"alive\n")
        self.assert_ended(vch("top", name), 0)


class Exhausted(Untouched):
    """What there is too little of, one after the other, while the control plane is asked."""

    @classmethod
    def setUpClass(cls):
        cls.box = f"Exhausted-{os.getpid()}"
        cls.addClassCleanup(vch, "rm", "-f", cls.box)
        start_with_tool(cls.box, "--init", "-m", "256m", "--pids-limit", "300")

    def during(self, script, line, ask):
        """`ask()` while the script, which ends all of its processes after 15 s, has said `line` and goes on."""
        with subprocess.Popen([VCH, "exec", self.box, "timeout", "-s", "KILL", "15", "sh", "-c", script],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            said = process.stdout.readline().decode()
            self.assertRegex(said, line)
            ask()
            process.stdout.read()
        self.assert_untouched(self.box)

    def test_processes(self):
        self.during("/escape processes", r"^\d+ EAGAIN$", lambda: self.assert_ended(vch("top", self.box), 0))
        self.assertIn("pids_exhausted", event_actions(self.box))
        end = time.monotonic() + 60  # until the last of them has ended
        while time.monotonic() < end:
            held = vch("exec", self.box, "cat", "/sys/fs/cgroup/pids.current")
            if held.returncode == 0 and int(held.stdout) < 20:
                return
            time.sleep(0.2)
        self.fail(f"they stay: {held}")

    def test_descriptors(self):
        self.during("/escape descriptors", r"^30000 ok$",
                    lambda: self.assert_ended(vch("top", self.box), 0))

    def test_randomness(self):
        self.during("echo begun; /escape randomness", "^begun$",
                    lambda: self.assert_ended(shell(self.box, "echo alive"), 0, b"alive\n"))

    def test_output_at_full_speed(self):
        def ask():
            for _ in range(3):
                self.assert_ended(shell(self.box, "echo alive"), 0, b"alive\n")
        self.during("echo begun; set -- $(cat /proc/1/task/1/children); exec yes flooding >/proc/$1/fd/1",
                    "^begun$", ask)
        self.assertGreater(len(vch("logs", "--tail", "1000", self.box).stdout), 8000)

    def while_held(self, what, give):
        """What came of its output: `/escape WHAT` has the lock of a pipe whose other end is PID 1's, which does not care."""
        with subprocess.Popen([VCH, "exec", "-i", self.box, "/escape", what], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            give(process.stdin)
            self.assertEqual(process.stderr.readline(), b"held\n")
            for _ in range(3):
                give(process.stdin)
                self.assert_ended(shell(self.box, "echo alive"), 0, b"alive\n")
            held = process.poll() is None and not select.select([process.stdout], [], [], 0)[0]
            self.assert_ended(shell(self.box, KILL_ESCAPE), 0)
            output = process.communicate()[0]
        self.assert_untouched(self.box)
        return held, output

    def test_output_that_is_held(self):
        for _ in range(5):  # PID 1 may have been quicker
            held, output = self.while_held("held_output", lambda _: None)
            self.assertEqual(output[:1], b"x")
            if held:
                return
        self.fail("it was never held")

    def test_input_that_is_held(self):
        def give(stdin):
            stdin.write(b"x" * 60000)  # the last of what its socket takes has room for 64 KiB
            stdin.flush()
        self.assertTrue(self.while_held("held_input", give)[0])

    def test_numbers_of_processes(self):
        """The machine's own bound, which it may lower: it is in its own way, and the agent's link stays."""
        self.assert_ended(shell(self.box, "echo 301 >/proc/sys/kernel/pid_max"), 0)
        seen = inspect(self.box)
        self.assertEqual((seen["State"], seen["Agent"]["LinkRestarts"]), ("running", 0))
        self.assert_ended(shell(self.box, "echo 4194304 >/proc/sys/kernel/pid_max"), 0)
        self.assert_untouched(self.box)


class Ended(VmTest):
    """What ends a machine ends the container, as the agent does it: last events, its code, powered off."""

    def ends(self, command, code):
        volume, name = self.volume(), self.name()
        result = vch("run", "--privileged", "--name", name, "-v", f"{volume}:/data", "busybox", "sh", "-c",
                     f"echo before; echo x >/x; echo x >/data/x; {command} -f; sleep 1000")
        self.assert_ended(result, code, b"before\n")
        self.assert_clean_end(name)
        self.assertEqual(event_actions(name)[-2:], ["die", "stop"])

    def test_reboot(self):
        self.ends("reboot", 129)

    def test_poweroff(self):
        self.ends("poweroff", 130)

    def test_halt(self):
        self.ends("halt", 130)


class Rebound(VmTest):
    """It can cut its own machine's link, as it can its disks. It gets nothing of it, and the host ends it."""

    def test_ports_that_were_taken_from_their_driver_stay_shut(self):
        name = self.name()
        start(name, command=("sh", "-c", """
            cd /sys/bus/virtio/drivers/virtio_console
            for device in virtio*; do
              echo $device >unbind && echo $device >bind && done=$done,$device
            done
            mkdir /nodes; mount -t devtmpfs none /nodes
            for node in /nodes/vport* /nodes/hvc*; do
              [ -c "$node" ] && (exec 3<>$node) 2>/dev/null && opened=$opened,$node
            done
            echo "<1>rebound=$done opened=$opened" >/dev/kmsg
            sleep 1000"""))
        console = os.path.join(inspect(name)["Directory"], "console.log")
        end, found = time.monotonic() + 120, None
        while not found and time.monotonic() < end:
            with open(console, "rb") as file:
                found = re.search(rb"rebound=(\S*) opened=(\S*)", file.read())
            time.sleep(0.2)
        self.assertIsNotNone(found)
        self.assertRegex(found.group(1), rb"virtio\d")
        self.assertEqual(found.group(2), b"")
        self.assert_ended(vch("rm", "-f", name), 0)


class Vsock(Untouched):
    def test_neither_the_host_nor_the_agent_is_reached(self):
        name = self.name()
        start_with_tool(name, "--link", "vsock")
        for attempt in ("vsock_to_host", "vsock_to_itself"):
            self.assertRegex(vch("exec", name, "/escape", attempt).stdout.decode(),
                             f"^{attempt} (ECONNRESET|ENODEV|ETIMEDOUT)\n$")
        self.assert_untouched(name)
