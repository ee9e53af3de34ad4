"""What the agent's processes have in their memory, seen from outside of the container, and how little it is."""

import os
import pathlib
import re
import subprocess

from ssh_test import wait_until
from vch_testing import BUILD, TETHER_ISO, VCH, VmTest, inspect, vch

STREAMS = 64
IDLE_KIB, BUSY_KIB = 4096, 8192  # what PID 1 and the link process may take together
AROUND_BYTES = 24_000_000
LEAST_MIB = 42  # what vch lets somebody ask for
NEXT = os.path.join(BUILD, "tests", "agent-next")
PLACES = {b"KEY-PLACE-KEY-PLACE-KEY-PLACE-32": "key",
          b"ID-PLACE-ID-PLACE-ID-PLACE-ID-PLACE-ID-PLACE-ID-PLACE-ID-PLAC-64": "id"}
ROUND = re.compile(r"memory-reader: (\d+) pid1 (\d+) (\d+) (\d+)((?: link \d+ \d+ \d+)*)((?: ssh \d+)*)\r?\n")


class Watched(VmTest):
    """A machine from the bootstrap ISO with one more hook in it: tests/peers/memory_reader.cc."""

    def keys_of(self, directory):
        """The 32 bytes of the field `link_key`, the first of its message: behind its tag and its length."""
        config = pathlib.Path(directory, "config.pb").read_bytes()
        return set(re.findall(rb"\x0a\x20([\s\S]{32})", config))

    def start(self, *command):
        self.box, iso = self.name(), os.path.join(self.scratch, "watched.iso")
        self.customise(iso, os.path.join(BUILD, "tests", "memory_reader"))
        self.assert_ended(vch("create", "--iso", iso, "--name", self.box, "busybox", *command), 0)
        seen = inspect(self.box)
        (key,) = self.keys_of(seen["Directory"])
        hook = pathlib.Path(BUILD, "tests", "memory_reader").read_bytes()
        for place, what in PLACES.items():
            self.assertEqual(hook.count(place), 1)
            text = key if what == "key" else seen["Id"].encode()
            self.assertEqual(len(text), len(place))
            hook = hook.replace(place, text)
        own = os.path.join(self.scratch, "reader")
        pathlib.Path(own).write_bytes(hook)
        os.unlink(iso)
        self.customise(iso, own)
        self.console = pathlib.Path(seen["Directory"], "console.log")
        self.assert_ended(vch("start", self.box), 0)

    def customise(self, iso, hook):
        done = subprocess.run([TETHER_ISO, "customise", os.path.join(BUILD, "bootstrap.iso"), "-o", iso, "--hook",
                               f"early={hook}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    def rounds(self):
        """As (number, PID 1's, [link process's], [login's PSS]); a process's are times of the key, of the id, and PSS."""
        found = []
        for number, *own, links, logins in ROUND.findall(self.console.read_text(encoding="latin-1")):
            links = [tuple(map(int, link)) for link in re.findall(r"link (\d+) (\d+) (\d+)", links)]
            found.append((int(number), tuple(map(int, own)), links, [int(n) for n in re.findall(r"ssh (\d+)", logins)]))
        return found

    def later_rounds(self, count=3):
        """So many that began after now, beside the one that was under way."""
        begun = len(self.rounds())
        wait_until(self, "more rounds", lambda: len(self.rounds()) > begun + count)
        return self.rounds()[begun + 1:]


class Agent(Watched):
    def footprint(self, what, limit):
        """The most that the two took together in some rounds, which is within the limit."""
        rounds = self.later_rounds()
        most = max(own[2] + sum(pss for *_, pss in links) for _, own, links, _ in rounds)
        agent = inspect(self.box)["Agent"]["PssKiB"]
        print(f"{what}: PID 1 {max(r[1][2] for r in rounds)} KiB, link process "
              f"{max(link[2] for r in rounds for link in r[2])}, together {most}; with launchers {agent}; "
              f"logins {rounds[-1][3]}", flush=True)
        self.assertLessEqual(most, limit)
        return rounds

    def test_pid_1_never_has_the_key_and_both_are_small(self):
        self.start("sleep", "1000000")
        wait_until(self, "the link process's key", lambda: any(
            key > 0 for _, _, links, _ in self.rounds() for key, *_ in links))
        self.footprint("idle", IDLE_KIB)
        self.assert_ended(vch("exec", self.box, "echo", "on"), 0, b"on\n", b"")
        streams = [subprocess.Popen([VCH, "exec", "-i", self.box, "cat"], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE) for _ in range(STREAMS)]
        config = pathlib.Path(self.scratch, "ssh-config")
        config.write_bytes(vch("ssh-config").stdout)
        login = subprocess.Popen(["ssh", "-F", config, f"{self.box}.vch", "cat"], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE)
        for number, stream in enumerate([*streams, login]):
            stream.stdin.write(b"%d\n" % number)
            stream.stdin.flush()
        for number, stream in enumerate([*streams, login]):  # each is attached, and its stream goes
            self.assertEqual(stream.stdout.readline(), b"%d\n" % number)
        rounds = self.footprint(f"{STREAMS} streams and a login", BUSY_KIB)
        # That of the next login as well, a second after this one.
        self.assertLessEqual({len(logins) for *_, logins in rounds}, {1, 2}, rounds)
        for stream in [*streams, login]:
            stream.stdin.close()
            self.assertEqual((stream.wait(), stream.stdout.read()), (0, b""))
            stream.stdout.close()
        # Another link process, and another agent.
        self.assert_ended(vch("restart-link", self.box), 0)
        self.assert_ended(vch("upgrade", self.box, "--agent", NEXT), 0)
        self.assert_ended(vch("exec", self.box, "echo", "on"), 0, b"on\n", b"")
        self.later_rounds()
        every = self.rounds()
        with_key = [number for number, _, links, _ in every if any(key > 0 for key, *_ in links)]
        print(f"{len(every)} rounds, the key in the link process in {len(with_key)}, in PID 1 in "
              f"{sum(own[0] > 0 for _, own, _, _ in every)}; the id in PID 1 in {sum(own[1] > 0 for _, own, _, _ in every)}",
              flush=True)
        self.assertEqual([number for number, own, _, _ in every if own[0] > 0], [])
        # The search finds what there is: the key where it belongs, and in PID 1 what that does have.
        self.assertEqual([number for number, *_ in every][-1] in with_key, True)
        self.assertGreater(every[-1][1][1], 0)


class Around(VmTest):
    def test_little_is_used_outside_the_container(self):
        """As `free` counts it: of what the kernel gives out, what neither is to be had nor is the container's."""
        name = self.name()
        self.assert_ended(vch("run", "-d", "--memory", "128m", "--name", name, "busybox", "sleep", "1000000"), 0)
        seen = vch("exec", name, "cat", "/proc/meminfo", "/sys/fs/cgroup/memory.current").stdout.decode()
        total, available = (int(re.search(rf"{row}: +(\d+) kB", seen)[1]) << 10 for row in ("MemTotal", "MemAvailable"))
        used = total - available - int(seen.split()[-1])
        print(f"128 MiB: {total} bytes in all, {used} used outside the container", flush=True)
        self.assertLess(used, AROUND_BYTES)


class SmallestMachine(VmTest):
    def test_a_shell_runs_in_it(self):
        name = self.name()
        self.assert_one_line(self.run_vm("--memory", f"{LEAST_MIB - 1}m", "busybox", "true"), 125, f"{LEAST_MIB}m")
        self.assert_ended(vch("run", "-d", "--memory", f"{LEAST_MIB}m", "--name", name, "busybox", "sleep", "1000000"), 0)
        script = "head -c 1000000 /dev/urandom >/file; sort /file | wc -c; seq 1 20000 | tail -n 1"
        self.assert_ended(vch("exec", name, "sh", "-c", script), 0)
        free = vch("exec", name, "grep", "-E", "MemTotal|MemAvailable", "/proc/meminfo").stdout.decode()
        print(f"{LEAST_MIB} MiB: {' '.join(free.split())}", flush=True)
        self.assert_ended(vch("stop", "-t", "0", name), 0)
        self.assertEqual(vch("events", "--since", "0", "--until", "0s", "--filter", "event=oom", name).stdout, b"")
        self.assertEqual(inspect(name)["ExitCode"], 137)
