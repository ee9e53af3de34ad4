"""Everything that may die dies at once, for a while, under load: the shim, the agent's link process, QEMU's end of
the link, and the agent itself, which is replaced again and again.

TETHER_SEED=n repeats a run's choices (not their effects: the parts race). TETHER_CHAOS_SECONDS=n is how long;
TETHER_FULL=1: 600.
"""

import collections
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import threading
import time

from clock_test import qmp
from live_events import LiveEvents
from outside import Outside, watched_iso
from traffic import LINES, Printer, ShortExecs, Stream, Terminal
from vch_testing import BUILD, FULL, VCH, VmTest, inspect, vch

SECONDS = float(os.environ.get("TETHER_CHAOS_SECONDS", 600 if FULL else 15))
MAX_PAUSE = 1.5  # between two deaths, s
OWN = os.path.join(BUILD, "bin", "tether")
NEXT, NEXT_VERSION = os.path.join(BUILD, "tests", "agent-next"), "0.1.0-next"
MAX_GROWTH = 256  # KiB of the agent's PSS, of the same program when nothing goes on
OF_A_SESSION = 6  # descriptors of an exec that has ended, and whose client's word of it died with a link process
# What an upgrade may be refused for, for it would not be done while something is under way; and how often.
REFUSALS = re.compile(r"send it( again| from its beginning)|was being (started|worked on|replaced) for 5 s; try again")
MAX_REFUSED = 2
ONE_OF = 10  # that many are refused at most
MAX_SHIM_GROWTH = 4096  # KiB of resident memory, of shims that die, from the first ones to the last
MAX_SHIM = 32768  # KiB, of any


def resident_kib(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))
    except (FileNotFoundError, ProcessLookupError, StopIteration):
        return None  # another was quicker


class Upgrader:
    """The agent, PID 1 included, is replaced by another, and that by the first, until it is told to finish."""

    def __init__(self, name, own):
        self.name, self.version, self.done, self.refused = name, own, 0, collections.Counter()
        self.programs = [NEXT, OWN]
        self.stopping, self.failure = threading.Event(), None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def upgrade(self):
        program = self.programs[self.done % 2]
        result = vch("upgrade", self.name, "--agent", program)
        if result.returncode == 0:
            self.done += 1
        else:  # its upload died five times over, say: then nothing was done
            self.refused[result.stderr.decode().strip()] += 1

    def run(self):
        # Ends with the program that it began with, and with both tried.
        while not self.stopping.is_set() or self.done % 2 == 1 or self.done == 0:
            try:
                self.upgrade()
            except (AssertionError, subprocess.TimeoutExpired) as failure:
                self.failure = failure
                return

    def finish(self, test):
        self.stopping.set()
        self.thread.join()
        test.assertIsNone(self.failure)
        test.assertGreaterEqual(self.done, 2, self.refused)
        for why, times in self.refused.items():
            print(f"refused {times} times: {why}", flush=True)
            test.assertRegex(why, REFUSALS)
        test.assertLessEqual(sum(self.refused.values()), MAX_REFUSED + self.done // ONE_OF, self.refused)


class Everything(VmTest):
    def kill_shim(self):
        pid = inspect(self.box)["Shim"]["Pid"]
        if pid is None:
            return False
        kib = resident_kib(pid)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        if kib is not None:
            self.shims.append(kib)
        return True

    def kill_link_process(self):
        return vch("restart-link", self.box).returncode == 0

    def replace_qemus_end(self):
        """QEMU closes the link's pipes and opens them anew; what it had read of them is gone."""
        backend = {"type": "pipe", "data": {"device": "link"}}
        qmp(self.box, ("chardev-change", {"id": "link", "backend": backend}))
        return True

    def follow_events(self):
        path = pathlib.Path(self.scratch, "events")
        with open(path, "wb") as file:
            follower = subprocess.Popen([VCH, "events", "--since", "0", "--format", "json", self.box], stdout=file)
        self.addCleanup(follower.wait)
        self.addCleanup(follower.kill)
        return path

    def count_events(self, path):
        while '"status":"stop"' not in (text := path.read_text()):
            time.sleep(0.05)
        events = [json.loads(line) for line in text.splitlines()]
        self.assertEqual({event["Actor"]["Attributes"]["exitCode"] for event in events
                          if event["Action"] == "link_die"}, {"137"})  # killed: none died of its own
        return collections.Counter(event["Action"] for event in events)

    def upgrade_and_back(self, own):
        """Whatever was there before is seen in the same state each time: no launcher, no spare rings, nothing under way."""
        for program, was, becomes in ((NEXT, own, NEXT_VERSION), (OWN, NEXT_VERSION, own)):
            self.assert_ended(vch("upgrade", self.box, "--agent", program), 0,
                              f"{self.box}: agent {was} to {becomes}\n".encode(), b"")

    def memory(self):
        """The agent's, its descriptors, and how many sessions' ends nobody has acknowledged."""
        while (agent := inspect(self.box)["Agent"])["PssKiB"] is None:
            pass
        return agent["PssKiB"], agent["Descriptors"], len(agent["Sessions"]) - 1

    def no_zombie(self):
        stat = vch("exec", self.box, "sh", "-c", "cat /proc/[0-9]*/stat")
        self.assertEqual([line for line in stat.stdout.split(b"\n") if b") Z " in line], [])
        top = vch("top", self.box).stdout.decode()
        self.assertNotIn("defunct", top)
        self.assertEqual(len(top.splitlines()), 2, top)  # a heading, and the primary's cat

    def do_deaths(self, generator):
        """How often each was done."""
        ways = {"shim": self.kill_shim, "link": self.kill_link_process, "QEMU's end": self.replace_qemus_end}
        counts = collections.Counter()
        order = generator.sample(sorted(ways), len(ways))  # each of them at least once
        end = time.monotonic() + SECONDS
        while order or time.monotonic() < end:
            time.sleep(generator.random() * MAX_PAUSE)
            way = order.pop() if order else generator.choice(sorted(ways))
            counts[way] += ways[way]()
        return counts

    def test_nothing_is_lost_whatever_dies(self):
        seed = int(os.environ.get("TETHER_SEED", random.randrange(1 << 32)))
        print(f"TETHER_SEED={seed}", flush=True)
        generator = random.Random(seed)
        self.box, self.shims = self.name(), []
        primary = Stream(["run", "-i", "--iso", watched_iso(self.scratch), "--log-opt", "max-size=1g", "--log-opt",
                          "max-file=8", "--name", self.box, "busybox", "cat"], generator.random())
        while primary.received_bytes == 0:
            self.assertIsNone(primary.process.poll())
            time.sleep(0.01)
        events, live, own = self.follow_events(), LiveEvents(self.box), inspect(self.box)["Agent"]["Version"]
        primary.rest()
        self.upgrade_and_back(own)
        before = self.memory()
        primary.wake()
        session = Stream(["exec", "-i", self.box, "cat"], generator.random())
        terminal, printer, execs = Terminal(self.box), Printer(self.box), ShortExecs(self.box)
        begun, upgrader = time.monotonic(), Upgrader(self.box, own)
        counts = self.do_deaths(generator)
        upgrader.finish(self)
        took = time.monotonic() - begun
        printed = printer.finish(self)
        execs.finish(self)
        terminal.finish(self)
        session.finish(self)
        self.assertEqual(inspect(self.box)["Agent"]["Version"], own)
        primary.rest()
        worked = self.memory()
        self.upgrade_and_back(own)
        after = self.memory()
        self.no_zombie()
        self.assertEqual(Outside(self.box).lasting_zombies(self), [])
        numbers = live.finish()
        primary.finish(self)
        counts["upgrade"] = upgrader.done + 4  # with those before and behind
        print(f"{dict(counts)} in {took:.0f} s, {sum(upgrader.refused.values())} upgrades refused; primary "
              f"{primary.sent_bytes} bytes each way, exec {session.sent_bytes}, terminal {terminal.typed} lines, "
              f"{printed} times {LINES} lines, {len(execs.results)} short execs; agent {before} before, {worked} "
              f"after it, {after} after two more upgrades (KiB, descriptors, ended sessions); "
              f"{len(numbers)} live events by {live.connections} connections; {len(self.shims)} shims, {min(self.shims)} to {max(self.shims)} KiB", flush=True)
        self.assertEqual(inspect(self.box)["ExitCode"], 0)
        happened = self.count_events(events)
        self.assertEqual(happened["upgrade"], counts["upgrade"], happened)
        self.assertEqual(happened["upgrade_begin"], counts["upgrade"], happened)
        self.assertEqual(happened["link_start"], happened["link_die"] + 1, happened)
        # An upgrade replaces the link process as well, unless somebody just did.
        self.assertGreaterEqual(happened["link_die"], counts["link"], happened)
        self.assertLessEqual(happened["link_die"], counts["link"] + counts["upgrade"], happened)
        self.assertEqual((happened["journal_gap"], happened["boot"]), (0, 1), happened)
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        self.assertGreater(len(numbers), counts["upgrade"])
        self.assertLess(after[0], before[0] + MAX_GROWTH)
        self.assertLessEqual(after[1], before[1] + OF_A_SESSION * after[2])
        quarter = max(1, len(self.shims) // 4)
        mean = [sum(part) / len(part) for part in (self.shims[:quarter], self.shims[-quarter:])]
        self.assertLess(max(self.shims), MAX_SHIM)
        if len(self.shims) >= 40:
            self.assertLess(mean[1], mean[0] + MAX_SHIM_GROWTH, self.shims)
