"""Machines with somebody in them who looks from outside of the container, root beside PID 1."""

import json
import os
import re
import subprocess

from ssh_fixture import wait_until
from vch_testing import BUILD, TETHER_ISO, inspect

WATCHER = os.path.join(BUILD, "tests", "outside_watcher")
TRACE = re.compile(r"outside: (\{.*?\})\r?\n")


def watched_iso(directory):
    """The bootstrap ISO with one more hook: tests/peers/outside_watcher.cc."""
    iso = os.path.join(directory, "watched.iso")
    subprocess.run([TETHER_ISO, "customise", os.path.join(BUILD, "bootstrap.iso"), "-o", iso,
                    "--hook", f"early={WATCHER}"], check=True)
    return iso


class Outside:
    """What the watcher in this container's machine says."""

    def __init__(self, name):
        self.console = os.path.join(inspect(name)["Directory"], "console.log")

    def rounds(self):
        """Those that the console still has."""
        found = []
        with open(self.console, encoding="latin-1") as file:
            for text in TRACE.findall(file.read()):
                try:
                    found.append(json.loads(text))
                except ValueError:
                    pass  # a line of the kernel's came into it
        return found

    def last(self):
        rounds = self.rounds()
        return rounds[-1]["round"] if rounds else 0

    def later_rounds(self, test, count=2):
        """So many that began after now, beside the one that was under way."""
        begun = self.last()
        wait_until(test, "the watcher's rounds", lambda: self.last() > begun + count)
        return [one for one in self.rounds() if one["round"] > begun + 1]

    def lasting_zombies(self, test):
        """Those that were there in all of some rounds: nobody waits for them."""
        rounds = self.later_rounds(test, 4)
        return sorted(set.intersection(*(set(one["zombies"]) for one in rounds)))
