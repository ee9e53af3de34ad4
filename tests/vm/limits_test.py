"""Limits inside and around, changed while it runs; and that nothing which runs out stops the agent."""

import json
import os
import select
import socket
import subprocess
import time

from vch_testing import VCH, VmTest, inspect, vch

MIB = 1 << 20
HOG = "head -c 1000000000 /dev/zero | tail -c 900000000 > /dev/null"  # killed: tail, which holds it


def stats(name):
    """As JSON; a machine that is out of something may take its time."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        result = vch("stats", "--no-stream", "--format", "json", name)
        if result.returncode != 0:
            raise AssertionError(result.stderr.decode())
        row = json.loads(result.stdout)
        if row["Raw"] is not None:
            return row
    raise AssertionError(f"{name} told no figures")


def inside(name, script, timeout=60):
    """What the script prints in the running container, as words."""
    result = vch("exec", name, "sh", "-c", script, timeout=timeout)
    if result.returncode != 0:
        raise AssertionError(f"{script}: {result.stderr.decode()}")
    return result.stdout.decode().split()


def group(name, file):
    return inside(name, f"cat /sys/fs/cgroup/{file}")


class Running(VmTest):
    """One machine for a test with many checks."""

    def start(self, *flags, image="busybox", command=("sleep", "1000")):
        name = self.name()
        self.assert_ended(vch("run", "-d", "--name", name, *flags, image, *command), 0)
        return name

    def await_event(self, name, action, *words):
        """The first event of that kind; the watcher ends with it."""
        with subprocess.Popen([VCH, "events", "--since", "10m", "--filter", f"container={name}"],
                              stdout=subprocess.PIPE) as watcher:
            try:
                end, text = time.monotonic() + 100, b""
                while time.monotonic() < end:
                    if not select.select([watcher.stdout], [], [], 1)[0]:
                        continue
                    text += os.read(watcher.stdout.fileno(), 65536)
                    *lines, text = text.split(b"\n")
                    for line in lines:
                        if f" container {action} ".encode() in line and all(
                                word.encode() in line for word in words):
                            return line.decode()
            finally:
                watcher.kill()
        self.fail(f"no event {action} {words}")

    def assert_serves(self, name):
        """exec, inspect and logs answer."""
        self.assertEqual(inside(name, "echo alive"), ["alive"])
        seen = inspect(name)
        self.assertEqual(seen["State"], "running")
        self.assertIsNotNone(seen["Agent"]["Version"])
        self.assert_ended(vch("logs", name), 0)


class Limits(Running):
    def test_they_hold_inside_and_change_while_it_runs(self):
        name = self.start("-m", "128m", "--memory-max", "512m", "--memory-reservation", "16m",
                          "--cpus", "0.5", "--cpus-max", "3", "--cpu-shares", "1024",
                          "--pids-limit", "60")
        self.assertEqual(group(name, "cpu.max"), ["50000", "100000"])
        self.assertEqual(group(name, "cpu.weight"), ["39"])
        self.assertEqual(group(name, "pids.max"), ["60"])
        self.assertEqual(group(name, "memory.low"), [str(16 * MIB)])
        total = int(inside(name, "grep MemTotal /proc/meminfo")[1]) << 10
        limit = int(group(name, "memory.max")[0])
        self.assertTrue(total - 32 * MIB < limit < total - 12 * MIB, (limit, total))
        self.assertEqual(inside(name, "nproc"), ["1"])
        self.assertEqual(inspect(name)["Limits"], {
            "Memory": 128 * MIB, "MemoryReservation": 16 * MIB, "NanoCpus": 500000000,
            "CpuShares": 1024, "PidsLimit": 60})
        raw = stats(name)["Raw"]
        self.assertEqual((raw["MemoryMax"], raw["PidsMax"], raw["Cpus"]), (limit, 60, 1))

        # More: processors and memory come into the machine itself.
        result = vch("update", "--cpus", "2.5", "-m", "400m", "--pids-limit", "200", name)
        self.assert_ended(result, 0, stdout=name.encode() + b"\n")
        self.assertEqual(inside(name, "nproc"), ["3"])
        self.assertEqual(group(name, "cpu.max"), ["250000", "100000"])
        self.assertEqual(group(name, "pids.max"), ["200"])
        more = int(inside(name, "grep MemTotal /proc/meminfo")[1]) << 10
        self.assertGreater(more, total + 250 * MIB)
        self.assertGreater(int(group(name, "memory.max")[0]), limit + 240 * MIB)
        # It can be used: more than the machine had before.
        self.assertEqual(
            inside(name, "head -c 200000000 /dev/zero | tail -c 200000000 | wc -c", timeout=240),
            ["200000000"])

        # Beyond what it was prepared for: a line that says the ceiling, and nothing has changed.
        self.assert_one_line(vch("update", "-m", "600m", name), 1, "512m", "--memory-max")
        self.assert_one_line(vch("update", "--cpus", "4", name), 1, "room for 3", "--cpus-max")
        self.assert_one_line(vch("update", "-m", "1m", name), 1, "--memory", "42m")
        self.assertEqual(inspect(name)["Machine"]["Memory"], 400 * MIB)

        # Less: memory leaves the machine again, processors stop.
        self.assert_ended(vch("update", "--cpus", "1", "-m", "200m", name), 0)
        self.assertEqual(inside(name, "nproc"), ["1"])
        less = int(inside(name, "grep MemTotal /proc/meminfo")[1]) << 10
        self.assertLess(less, total + 90 * MIB)
        self.assertLess(int(group(name, "memory.max")[0]), less)
        self.assertIn(b" container update ", vch("events", "--since", "10m", "--until", "0s",
                                                 "--filter", f"container={name}").stdout)

        # The next start has it all.
        self.assert_ended(vch("stop", "-t", "1", name), 0)
        self.assert_ended(vch("update", "--cpus", "2", name), 0)
        self.assert_ended(vch("start", name), 0)
        self.assertEqual(inside(name, "nproc"), ["2"])
        self.assertEqual(group(name, "pids.max"), ["200"])
        self.assertGreater(int(inside(name, "grep MemTotal /proc/meminfo")[1]) << 10, total)

    def test_restarts_and_the_stop_signal_are_changed_while_it_runs(self):
        name = self.start(command=("sh", "-c", "trap 'exit 3' USR1; trap 'exit 5' USR2; touch /up; "
                                   "while :; do sleep 1000 & wait; done"))
        ready = "until [ -e /up ]; do usleep 50000; done; rm /up"
        self.assert_one_line(vch("update", "--restart", "often", name), 1, "--restart", "on-failure")
        self.assert_ended(vch("update", "--restart", "on-failure:5", name), 0)
        # Who ends the command is killed with whatever else runs beside it.
        vch("exec", name, "sh", "-c", f"{ready}; kill -USR1 1")
        self.await_event(name, "restart", "count=1")
        self.await_event(name, "update")
        self.assert_ended(vch("update", "--restart", "no", name), 0)
        # Between the runs there is nobody to exec with.
        while vch("exec", name, "sh", "-c", ready).returncode != 0:
            self.assertEqual(inspect(name)["RestartCount"], 1)
        vch("exec", name, "sh", "-c", "kill -USR1 1")
        self.assert_ended(vch("wait", name), 0, b"3\n")
        self.assertEqual(inspect(name)["RestartCount"], 1)
        # And from the next start on.
        self.assert_ended(vch("start", name), 0)
        inside(name, ready)
        self.assert_one_line(vch("stop", "--signal", "SIGWHAT", name), 1, "SIGWHAT")
        self.assert_ended(vch("stop", "--signal", "USR2", name), 0)
        self.assert_ended(vch("wait", name), 0, b"5\n")

    def test_what_makes_no_sense_is_refused_by_its_flag(self):
        for flags, words in ((("--cpus", "0"), ("--cpus", "1.5")),
                             (("--cpus-max", "0"), ("--cpus-max",)),
                             (("-m", "8m"), ("--memory", "42m")),
                             (("--memory-max", "64m"), ("--memory-max", "256m")),
                             (("--memory-reservation", "1g"), ("--memory-reservation",)),
                             (("--cpu-shares", "1"), ("--cpu-shares", "262144")),
                             (("--pids-limit", "-2"), ("--pids-limit",))):
            self.assert_one_line(vch("create", *flags, "busybox"), 125, *words)


class Stats(Running):
    def test_they_tell_what_is_used(self):
        name = self.start("--network", "user", image="debian",
                          command=("sh", "-c", "while :; do :; done"))
        raw = stats(name)["Raw"]
        self.assertGreater(raw["CpuUs"], 100000)
        self.assertEqual(raw["Interfaces"][0]["Name"], "eth0")
        self.assertIn("Some", raw["Pressure"]["memory"])
        result = vch("stats", "--no-stream", name)
        head, line = result.stdout.decode().splitlines()
        for column in ("CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O",
                       "BLOCK I/O", "PIDS", "PRESSURE"):
            self.assertIn(column, head)
        cells = line.split()
        self.assertEqual((cells[0], cells[1]), (inspect(name)["Id"][:12], name))
        self.assertGreater(float(cells[2].rstrip("%")), 50)
        # What it writes and receives is counted.
        inside(name, "head -c 3000000 /dev/zero > /file; sync; cat /dev/null")
        after = stats(name)["Raw"]
        self.assertGreaterEqual(after["BlockWritten"] - raw["BlockWritten"], 3000000)
        # All that run, and again and again.
        with subprocess.Popen([VCH, "stats", "--format", "{{.Name}} {{.PIDs}}"],
                              stdout=subprocess.PIPE) as watcher:
            lines = [watcher.stdout.readline() for _ in range(6)]
            watcher.kill()
        self.assertGreaterEqual(lines.count(f"{name} 1\n".encode()), 2, lines)


class RunsOut(Running):
    """What a container can do to its machine; the agent serves throughout, and says what it was."""

    def test_memory(self):
        name = self.start("-m", "160m", image="debian")

        # A memory hog. Whichever limit it meets, its own or the machine's: it is the one that goes.
        self.assertNotEqual(
            vch("exec", name, "sh", "-c", HOG).returncode, 0)
        self.await_event(name, "oom", "process=tail")
        self.assertEqual((inspect(name)["OomKilled"], inspect(name)["OomProcess"]), (True, "tail"))
        self.assertGreaterEqual(stats(name)["Raw"]["OomKills"], 1)
        self.assert_serves(name)

    def test_memory_that_is_limited_below_the_machines(self):
        # The kernel by itself goes on for minutes here, reading programs again and again.
        name = self.start("-m", "256m", image="debian")
        self.assert_ended(vch("update", "-m", "64m", name), 0)
        self.assertLess(int(group(name, "memory.max")[0]), 65 * MIB)
        self.assertNotEqual(vch("exec", name, "sh", "-c", HOG).returncode, 0)
        self.await_event(name, "oom", "process=tail")
        self.assertLess(int(group(name, "memory.max")[0]), 65 * MIB)
        self.assertGreater(int(group(name, "memory.max")[0]), 60 * MIB)
        self.assert_serves(name)

    def test_disks_inodes_and_processes(self):
        name = self.start("-m", "160m", "--tmpfs", "/small:size=1m,nr_inodes=200", image="debian")

        # Full: the tmpfs, then the root's disk; then no inodes.
        inside(name, "cat /dev/zero > /small/a 2>/dev/null || :")
        self.await_event(name, "disk_full", "path=/small", "hint=")
        self.assert_serves(name)
        inside(name, "rm /small/a; fallocate -l $(($(stat -f -c '%f*%S' /))) /fill || :",
               timeout=120)
        self.await_event(name, "disk_full", "path=/,")
        self.assert_serves(name)
        inside(name, "rm -f /fill; i=0; while true > /small/$i; do i=$((i+1)); done 2>/dev/null || :")
        self.await_event(name, "inodes_exhausted", "path=/small", "hint=")
        self.assert_serves(name)

        # As much randomness as is asked for.
        self.assertEqual(inside(name, "head -c 1000000 /dev/random | wc -c"), ["1000000"])

        # A fork bomb.
        vch("exec", "-d", name, "sh", "-c", "b() { b | b & }; b; sleep 1000")
        self.await_event(name, "pids_exhausted", "limit=", "hint=")
        self.assertIn(b"sh", vch("top", name).stdout)
        self.assertGreater(stats(name)["Raw"]["Pids"], 100)
        self.assertEqual(inspect(name)["State"], "running")
        self.assert_ended(vch("logs", name), 0)
        # The agent was never the victim.
        self.assertEqual(inspect(name)["Agent"]["LinkRestarts"], 0)
        self.assert_ended(vch("stop", "-t", "1", name, timeout=120), 0)

    def test_a_disk_that_is_taken_away(self):
        # The first error may be the journal's own, which ext4 counts when somebody writes again.
        name = self.start(image="debian", command=(
            "sh", "-c", "while :; do echo x >/file; sync; sleep 0.2; done 2>/dev/null"))
        self.take_away(name, "writable")
        self.await_event(name, "disk_failed", "path=/,", "hint=")
        self.assert_serves(name)
        self.assert_ended(vch("stop", "-t", "1", name, timeout=120), 0)

    def take_away(self, name, drive):
        """As when a cable is pulled: whatever the guest asks of it from now on fails."""
        directory = os.open(inspect(name)["Directory"], os.O_PATH)
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(f"/proc/self/fd/{directory}/qmp.sock")  # its own path may be too long
            os.close(directory)
            with monitor.makefile("rw") as stream:
                stream.readline()
                for command in ({"execute": "qmp_capabilities"},
                                {"execute": "human-monitor-command",
                                 "arguments": {"command-line": f"drive_del {drive}"}}):
                    stream.write(json.dumps(command))
                    stream.flush()
                    while "return" not in (answer := json.loads(stream.readline())):
                        self.assertNotIn("error", answer)
