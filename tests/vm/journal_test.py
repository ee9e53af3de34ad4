"""The journal: logs and events, with no host end alive, rotated, torn, on a full disk, and read on by clients."""

import hashlib
import json
import os
import re
import signal
import subprocess
import time

from vch_testing import FULL, TIMEOUT, VCH, VmTest, inspect, kill_shim, vch

MIB = 1 << 20
# Prints its size in random bytes on stdout and their digest on stderr first.
RANDOM = "head -c {size} /dev/urandom >/b; sha256sum /b >&2; cat /b; rm /b"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def inspect_directory(name):
    return inspect(name)["Directory"]


def journal_files(directory):
    return [file for file in os.listdir(directory) if re.fullmatch(r"journal(\.\d+)?", file)]


class JournalTest(VmTest):
    def run_detached(self, name, *arguments):
        result = vch("run", "-d", "--name", name, *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)

    def follow(self, name):
        """All of its output, once its machine is off."""
        result = vch("logs", "-f", name, timeout=1500 if FULL else TIMEOUT)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def events(self, name, *arguments):
        result = vch("events", "--since", "0", "--until", f"{time.time():.9f}", "--format", "json", *arguments, name)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        return [json.loads(line) for line in result.stdout.splitlines()]

    def actions(self, name, *arguments):
        return [event["Action"] for event in self.events(name, *arguments)]


class Unwatched(JournalTest):
    def test_everything_is_kept_with_no_host_end_alive(self):
        name, size = self.name(), (1024 if FULL else 24) * MIB
        self.run_detached(name, "--log-opt", "max-size=2g", "busybox", "sh", "-c",
                          RANDOM.format(size=size) + "; exit 6")
        kill_shim(name)
        result = self.follow(name)
        self.assertEqual(len(result.stdout), size)
        self.assertEqual(result.stderr.split()[0].decode(), sha256(result.stdout))
        self.assertEqual(inspect(name)["ExitCode"], 6)

    def test_the_machine_is_off_as_soon_as_the_journal_has_all(self):
        name = self.name()
        self.run_detached(name, "busybox", "echo", "short")
        self.assertEqual(self.follow(name).stdout, b"short\n")
        events = {event["Action"]: event for event in self.events(name)}
        self.assertLess(events["stop"]["timeNano"] - events["die"]["timeNano"], 5 * 10**9)


class Logs(JournalTest):
    def test_lines_are_chosen_as_docker_chooses_them(self):
        name = self.name()
        script = """
            for i in 1 2 3 4 5; do echo out$i; usleep 20000; echo err$i >&2; usleep 20000; done
            printf 'no newline'"""
        self.run_detached(name, "busybox", "sh", "-c", script)
        followed = self.follow(name)
        out = b"out1\nout2\nout3\nout4\nout5\nno newline"
        self.assert_ended(followed, 0, out, b"err1\nerr2\nerr3\nerr4\nerr5\n")
        stamped = vch("logs", "-t", name).stdout.decode().split("\n")
        pattern = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) (.*)")
        times = dict(pattern.fullmatch(line).groups()[::-1] for line in stamped)
        self.assertEqual(list(times), out.decode().split("\n"))
        self.assertEqual(sorted(times.values()), list(times.values()))
        self.assert_ended(vch("logs", "--since", times["out4"], name), 0,
                          b"out4\nout5\nno newline", b"err4\nerr5\n")
        self.assert_ended(vch("logs", "--until", times["out2"], name), 0, b"out1\nout2\n", b"err1\n")
        self.assert_ended(vch("logs", "--since", "1h", "--until", f"{time.time():.9f}", "--tail", "3", name), 0,
                          b"out5\nno newline", b"err5\n")
        self.assert_ended(vch("logs", "--tail", "0", name), 0, b"", b"")
        self.assert_one_line(vch("logs", "--since", "soon", name), 1, "soon", "want")
        self.assert_one_line(vch("logs", "--tail", "many", name), 1, "many", "want")

    def test_they_are_followed_while_the_container_runs(self):
        name = self.name()
        self.run_detached(name, "busybox", "sh", "-c",
                          "trap 'echo caught; exit' TERM; echo first; while :; do usleep 50000; done")
        with subprocess.Popen([VCH, "logs", "-f", name], stdout=subprocess.PIPE) as follower:
            self.assertEqual(follower.stdout.readline(), b"first\n")
            self.assert_ended(vch("stop", name), 0)
            self.assertEqual(follower.stdout.read(), b"caught\n")
        self.assertEqual(follower.returncode, 0)

    def test_all_lives_of_a_container_are_there(self):
        name = self.name()
        self.assert_ended(vch("run", "--name", name, "busybox", "sh", "-c", "echo life"), 0)
        self.assert_ended(vch("start", "-a", name), 0, b"life\n", b"")
        self.assert_ended(vch("logs", name), 0, b"life\nlife\n", b"")
        actions = self.actions(name)
        life = ["boot", "start", "die", "stop"]
        self.assertEqual([action for action in actions if action in life], life * 2)
        self.assertIn("stage", actions)
        self.assertIn("link_start", actions)
        self.assertEqual(set(self.actions(name, "--filter", "event=die")), {"die"})
        self.assertEqual(self.events(name, "--filter", "event=die")[0]["Actor"]["Attributes"]["exitCode"],
                         "0")

    def test_a_machine_that_dies_leaves_whole_records(self):
        name = self.name()
        self.run_detached(name, "busybox", "seq", "1", "100000000")
        with subprocess.Popen([VCH, "logs", "-f", name], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as follower:
            seen = follower.stdout.read(4 * MIB)
            os.kill(inspect(name)["Machine"]["Pid"], signal.SIGKILL)
            stdout, stderr = follower.communicate()
        seen += stdout
        self.assertIn(b"breaks off", stderr)
        result = vch("logs", name)
        self.assertEqual(sha256(result.stdout), sha256(seen))
        lines = seen.decode().split("\n")
        self.assertEqual(lines[:-1], [str(number) for number in range(1, len(lines))])
        self.assertTrue(str(len(lines)).startswith(lines[-1]))
        # What comes after a torn tail is whole again.
        self.assert_ended(vch("start", name), 0)
        self.assert_ended(vch("kill", name), 0)
        with subprocess.Popen([VCH, "logs", "-f", name], stdout=subprocess.PIPE) as both:
            digest = sha256(both.stdout.read(len(seen)))
            both.stdout.read()
        self.assertEqual(digest, sha256(seen))


class Memory(JournalTest):
    def test_a_process_that_the_kernel_kills_for_memory_is_named(self):
        name = self.name()
        result = vch("run", "--name", name, "--memory", "96m", "busybox", "sh", "-c",
                     "awk 'BEGIN { s = 1; while (1) s = s s }'; echo $?")
        self.assert_ended(result, 0, b"137\n")
        event = self.events(name, "--filter", "event=oom")[0]
        self.assertEqual(event["Actor"]["Attributes"]["process"], "awk")
        self.assertGreater(int(event["Actor"]["Attributes"]["pid"]), 1)


class Rotation(JournalTest):
    def test_files_are_changed_under_load_without_loss(self):
        name, size = self.name(), (256 if FULL else 24) * MIB
        self.run_detached(name, "--log-opt", "max-size=1m,max-file=64", "busybox", "sh", "-c",
                          RANDOM.format(size=size))
        result = self.follow(name)
        self.assertEqual(len(result.stdout), size)
        self.assertEqual(result.stderr.split()[0].decode(), sha256(result.stdout))
        self.assertGreater(len(journal_files(inspect_directory(name))), 3)

    def test_the_oldest_goes_and_the_rest_is_there(self):
        name, last = self.name(), 600000
        self.run_detached(name, "--log-opt", "max-size=1m", "--log-opt", "max-file=2", "busybox",
                          "seq", "1", str(last))
        self.follow(name)
        self.assertEqual(len(journal_files(inspect_directory(name))), 2)
        lines = vch("logs", name).stdout.decode().split("\n")[1:-1]  # the first may be cut
        self.assertGreater(len(lines), 1000)
        self.assertEqual(lines, [str(n) for n in range(last - len(lines) + 1, last + 1)])
        self.assertEqual(inspect(name)["ExitCode"], 0)
        # The next life goes on in the newest file.
        self.assert_ended(vch("start", name), 0)
        self.follow(name)
        self.assertEqual(self.actions(name, "--filter", "event=die")[-1], "die")
        self.assertEqual(vch("logs", "--tail", "1", name).stdout, f"{last}\n".encode())


class FullDisk(JournalTest):
    def tiny_disk(self, name):
        """The journal of a container that was made lies on a disk of its own, with 256 KiB."""
        disk = os.path.join(self.scratch, name)
        os.mkdir(disk)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=True)
        journal = os.path.join(disk, "journal")
        os.close(os.open(journal, os.O_CREAT, 0o600))
        os.symlink(journal, os.path.join(inspect_directory(name), "journal"))
        return disk

    def test_nothing_stops_and_the_gap_is_reported(self):
        name = self.name()
        script = "seq 1 600000; echo half >&2; read line; echo $line; exit 4"
        self.assertEqual(vch("create", "-i", "--name", name, "busybox", "sh", "-c", script).returncode, 0)
        disk = self.tiny_disk(name)
        with subprocess.Popen([VCH, "start", "-ai", name], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
            out = b""
            while not out.endswith(b"\n600000\n"):
                piece = os.read(client.stdout.fileno(), MIB)
                self.assertTrue(piece)
                out += piece
            def written():
                return sum(os.stat(os.path.join(directory, file)).st_size
                           for file in journal_files(directory))
            directory = inspect_directory(name)
            full = written()
            self.assertLessEqual(full, 256 * 1024)
            subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
            while written() == full:
                time.sleep(0.01)
            rest, stderr = client.communicate(b"go on\n")
        self.assertEqual(client.returncode, 4, stderr)
        expected = "".join(f"{n}\n" for n in range(1, 600001)).encode() + b"go on\n"
        self.assertEqual(sha256(out + rest), sha256(expected))
        logs = vch("logs", name)
        self.assertIn(b"missing in the journal", logs.stderr)
        self.assertTrue(logs.stdout.endswith(b"go on\n"))
        self.assertEqual(inspect(name)["ExitCode"], 4)

    def test_an_unwatched_container_goes_on(self):
        for policy in ("block", "drop"):
            name = self.name(policy)
            self.assertEqual(vch("create", "--log-policy", policy, "--name", name, "busybox", "seq",
                                 "1", "1000000").returncode, 0)
            self.tiny_disk(name)
            self.assert_ended(vch("start", name), 0)
            result = self.follow(name)
            self.assertIn(b"breaks off", result.stderr)
            self.assertTrue(result.stdout.startswith(b"1\n2\n3\n"))


class Clients(JournalTest):
    def test_a_stopped_client_stalls_nobody_and_gets_everything(self):
        name, size = self.name(), 24 * MIB
        with subprocess.Popen([VCH, "run", "-i", "--name", name, "busybox", "sh", "-c",
                               "read line; " + RANDOM.format(size=size) + "; exit 5"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as client:
            while not vch("ps").stdout.count(name.encode()):
                self.assertIsNone(client.poll())
            client.stdin.write(b"go\n")
            client.stdin.flush()
            first = os.read(client.stdout.fileno(), 1000)
            os.kill(client.pid, signal.SIGSTOP)
            logs = self.follow(name)
            self.assertEqual(len(logs.stdout), size)
            os.kill(client.pid, signal.SIGCONT)
            stdout, stderr = client.communicate()
        self.assertEqual(client.returncode, 5, stderr)
        self.assertEqual(sha256(first + stdout), sha256(logs.stdout))
        self.assertEqual(stderr, logs.stderr)
        self.assertEqual(stderr.split()[0].decode(), sha256(logs.stdout))

    def test_the_successor_of_a_killed_client_gets_the_rest(self):
        name, last = self.name(), 1000000
        with subprocess.Popen([VCH, "run", "-i", "--name", name, "busybox", "sh", "-c",
                               f"seq 1 {last}; echo ready >&2; read line; echo $line; exit 8"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
            first = b""
            while len(first) < MIB:
                first += os.read(client.stdout.fileno(), 65536)
            client.kill()
            first += client.stdout.read()
        # It ends nobody's stdin and stalls nobody: all of its output comes to the journal.
        with subprocess.Popen([VCH, "logs", "-f", name], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE) as follower:
            self.assertEqual(follower.stderr.readline(), b"ready\n")
            rest = vch("attach", name, stdin=b"go on\n")
            follower.wait()
        self.assertEqual(rest.returncode, 8, rest.stderr)
        expected = "".join(f"{n}\n" for n in range(1, last + 1)).encode() + b"go on\n"
        self.assertTrue(expected.startswith(first))
        self.assertTrue(expected.endswith(rest.stdout))
        begin = len(expected) - len(rest.stdout)
        self.assertLessEqual(begin, len(first))
        self.assertGreaterEqual(begin, len(first) - 256 * 1024)  # acknowledgements of the last writes
