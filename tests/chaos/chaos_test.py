"""The process that holds the link is killed at any moment while streams, execs and a terminal go on.

TETHER_SEED=n repeats a run's choices; TETHER_FULL=1 kills a thousand times.
"""

import os
import random
import signal
import time

from traffic import Stream, Terminal
from vch_testing import FULL, VmTest, inspect, vch

KILLS = 1000 if FULL else 30
MAX_PAUSE = 0.25  # between a shim that is there and its death, s


class HolderOfTheLinkKilled(VmTest):
    def kill_holder(self, name, pause):
        """Kills the shim `pause` seconds after it is seen."""
        while (pid := inspect(name)["Shim"]["Pid"]) is None:
            pass
        time.sleep(pause)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return 0  # another killed it: none of ours
        return 1

    def test_nothing_is_lost_repeated_or_reordered(self):
        seed = int(os.environ.get("TETHER_SEED", random.randrange(1 << 32)))
        print(f"TETHER_SEED={seed}", flush=True)
        generator = random.Random(seed)
        name = self.name()
        begun = time.monotonic()
        primary = Stream(["run", "-i", "--name", name, "busybox", "cat"], generator.random())
        while primary.received_bytes == 0:
            self.assertIsNone(primary.process.poll())
            time.sleep(0.01)
        session = Stream(["exec", "-i", name, "cat"], generator.random())
        terminal = Terminal(name)
        killed = ended_execs = 0
        while killed < KILLS:
            killed += self.kill_holder(name, generator.random() * MAX_PAUSE)
            if killed % 10 == 0:  # a short exec meanwhile: once, with its own output and code
                text = f"exec {killed}"
                self.assert_ended(vch("exec", name, "sh", "-c", f"echo {text}; exit 7"), 7,
                                  f"{text}\n".encode())
                ended_execs += 1
        terminal.finish(self)
        session.finish(self)
        primary.finish(self)
        print(f"{killed} kills in {time.monotonic() - begun:.0f} s; primary {primary.sent_bytes} "
              f"bytes each way, exec {session.sent_bytes}, terminal {terminal.typed} lines, "
              f"{ended_execs} short execs", flush=True)
        self.assertEqual(inspect(name)["ExitCode"], 0)
