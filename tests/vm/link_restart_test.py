"""The agent's link process is killed at any moment while streams, execs and a terminal go on.

TETHER_SEED=n repeats a run's choices; TETHER_FULL=1 kills a thousand times.
"""

import json
import os
import pathlib
import random
import subprocess
import threading
import time

from traffic import LINES, Printer, ShortExecs, Stream, Terminal
from vch_testing import FULL, VCH, VmTest, inspect, vch

KILLS = 1000 if FULL else 30
MAX_PAUSE = 0.5  # between an answer of one link process and its death, s
SECOND = 10**9
CLOCK_STEP = SECOND // 10  # events have the wall clock's time, which the host end corrects
SOUND_RUN = 10 * SECOND * 99 // 100  # who lives so long is no part of a series of deaths
MAX_GROWTH = 256  # KiB
KEPT_RINGS = 32  # descriptors of rings that wait for the next sessions
OF_A_SESSION = 6  # descriptors of an exec that has ended, and whose client's word of it died with a link process
CALLERS = 3  # so that one always waits for the next link process


class Caller:
    """Wants another link process as soon as its last wish was granted."""

    def __init__(self, name):
        self.name, self.waits, self.failure = name, [], None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stopping.is_set() and self.failure is None:
            begun = time.monotonic()
            result = vch("restart-link", self.name)
            self.waits.append(time.monotonic() - begun)
            if result.returncode != 0:
                self.failure = result.stderr

    def finish(self, test):
        self.stopping.set()
        self.thread.join()
        test.assertIsNone(self.failure)
        return len(self.waits)


class LinkProcessKilled(VmTest):
    def restart(self, name):
        self.assert_ended(vch("restart-link", name), 0, f"{name}\n".encode(), b"")

    def agent(self, name):
        while (agent := inspect(name)["Agent"])["PssKiB"] is None:
            pass  # it was not asked in time
        return agent

    def follow_events(self, name):
        """Where the starts and deaths of link processes will be, and the machine's end."""
        path = pathlib.Path(self.scratch, "events")
        with open(path, "wb") as file:
            follower = subprocess.Popen(
                [VCH, "events", "--since", "0", "--format", "json", "--filter", "event=link_start",
                 "--filter", "event=link_die", "--filter", "event=stop", name], stdout=file)
        self.addCleanup(follower.wait)
        self.addCleanup(follower.kill)
        return path

    def expect_restarts(self, path, count):
        """Also returns when each of these events was, in ns."""
        while '"status":"stop"' not in (text := path.read_text()):
            pass
        events = [json.loads(line) for line in text.splitlines()]
        shape = [(event["Action"], event["Actor"]["Attributes"].get("exitCode")) for event in events]
        self.assertEqual(shape, [("link_start", None)] +
                         [("link_die", "137"), ("link_start", None)] * count + [("stop", None)])
        return [event["timeNano"] for event in events]

    def test_nothing_is_lost_repeated_or_reordered(self):
        seed = int(os.environ.get("TETHER_SEED", random.randrange(1 << 32)))
        print(f"TETHER_SEED={seed}", flush=True)
        generator = random.Random(seed)
        name, begun = self.name(), time.monotonic()
        primary = Stream(["run", "-i", "--name", name, "busybox", "cat"], generator.random())
        while primary.received_bytes == 0:
            self.assertIsNone(primary.process.poll())
            time.sleep(0.01)
        events = self.follow_events(name)
        session = Stream(["exec", "-i", name, "cat"], generator.random())
        terminal, printer = Terminal(name), Printer(name)
        for killed in range(1, KILLS + 1):
            time.sleep(generator.random() * MAX_PAUSE)
            self.restart(name)
            self.assertEqual(inspect(name)["Agent"]["LinkRestarts"], killed)
            if killed % 10 == 0:  # a short exec meanwhile: once, with its own output and code
                self.assert_ended(
                    vch("exec", name, "sh", "-c", "echo $$ >>/once; echo short; exit 7"), 7, b"short\n")
        printed = printer.finish(self)
        terminal.finish(self)
        session.finish(self)
        ran = vch("exec", name, "wc", "-l", "/once")
        self.assertEqual(ran.stdout.split()[0], b"%d" % (KILLS // 10))
        primary.finish(self)
        print(f"{KILLS} kills in {time.monotonic() - begun:.0f} s; primary {primary.sent_bytes} bytes each "
              f"way, exec {session.sent_bytes}, terminal {terminal.typed} lines, {printed} times "
              f"{LINES} lines printed", flush=True)
        self.assertEqual(inspect(name)["ExitCode"], 0)
        self.expect_restarts(events, KILLS)

    def expect_ever_slower(self, times):
        """Five at once, then after ever longer, up to a second. Who lived for long begins anew."""
        quick, gaps = 0, []
        for start, die, again in zip(times[::2], times[1::2], times[2::2]):
            quick = 1 if die - start >= SOUND_RUN else quick + 1
            least = 0 if quick <= 5 else min(1000, 20 << min(quick - 5, 6))
            gaps.append(again - die)
            self.assertGreaterEqual(gaps[-1], least * SECOND // 1000 - CLOCK_STEP, (len(gaps), quick))
            self.assertLess(gaps[-1], 3 * SECOND, (len(gaps), quick))
        return max(gaps) / SECOND

    def test_many_deaths_in_a_row_are_followed_ever_more_slowly_and_for_ever(self):
        name, count = self.name(), 1000 if FULL else 16
        self.assert_ended(vch("run", "-d", "--name", name, "busybox", "sleep", "1000000"), 0)
        events = self.follow_events(name)
        self.assert_ended(vch("exec", name, "true"), 0)  # the launcher, which stays, is there
        before, begun = self.agent(name), time.monotonic()
        callers, execs = [Caller(name) for _ in range(CALLERS)], ShortExecs(name)
        while events.read_text().count('"status":"link_die"') < count:
            self.assertEqual([caller.failure for caller in callers], [None] * CALLERS)
            time.sleep(0.2)
        answered = sum(caller.finish(self) for caller in callers)
        execs.finish(self)
        after = self.agent(name)
        self.assert_ended(vch("kill", name), 0)
        deaths = after["LinkRestarts"]
        self.assertLessEqual(deaths, answered)  # one death may be what several asked for
        memory = [(agent["PssKiB"], agent["Descriptors"]) for agent in (before, after)]
        waits = sorted(wait for caller in callers for wait in caller.waits)
        print(f"{deaths} deaths in a row in {time.monotonic() - begun:.0f} s; {answered} requests for one answered, "
              f"after {waits[len(waits) // 2]:.1f} s in the middle and "
              f"{waits[-1]:.1f} s at most; {len(execs.results)} execs meanwhile; "
              f"memory in KiB and descriptors {memory[0]}, then {memory[1]}", flush=True)
        slowest = self.expect_ever_slower(self.expect_restarts(events, deaths)[:-1])
        print(f"followed after {slowest:.2f} s at most", flush=True)
        self.assertLess(memory[1][0], memory[0][0] + MAX_GROWTH)
        kept = KEPT_RINGS + OF_A_SESSION * (len(after["Sessions"]) - 1)
        self.assertLessEqual(memory[1][1], memory[0][1] + kept, after)

    def test_over_each_kind_of_link(self):
        # More than may be on its way on a fast link: the command must not end before the last kill.
        for kind, size in (("uart", 256 << 10), ("vsock", 8 << 20)):
            with self.subTest(kind):
                name, text = self.name(kind), random.Random(1).randbytes(size)
                with subprocess.Popen([VCH, "run", "-i", "--link", kind, "--name", name, "busybox", "cat"],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
                    process.stdin.write(text[:1024])
                    process.stdin.flush()
                    back = process.stdout.read(1024)
                    for _ in range(2):
                        self.restart(name)
                    feeder = threading.Thread(
                        target=lambda: (process.stdin.write(text[1024:]), process.stdin.close()))
                    feeder.start()
                    back += process.stdout.read(1024)
                    self.restart(name)
                    back += process.stdout.read()
                    feeder.join()
                self.assertEqual((process.returncode, back == text), (0, True))

    def test_a_container_that_does_not_run_has_no_link(self):
        name = self.name()
        self.assert_ended(vch("create", "--name", name, "busybox", "true"), 0)
        self.assert_one_line(vch("restart-link", name), 1, name, "does not run")
