"""What the link process has, as the kernel says it in a machine, and what becomes of it by a forbidden call."""

import json
import os
import time

from outside import Outside, watched_iso
from traffic import Stream
from vch_testing import BUILD, VmTest, inspect, vch

OWN = os.path.join(BUILD, "bin", "tether")
FORBIDDEN, FORBIDDEN_VERSION = os.path.join(BUILD, "tests", "agent-forbidden"), "0.1.0-forbidden"
USER = 0x6FFF0000
NONE, FILTERED = "0" * 16, "2"
SIGSYS = 31


class LinkProcess(VmTest):
    def events(self, name, *actions):
        text = vch("events", "--since", "0", "--until", "0s", "--format", "json",
                   *(word for action in actions for word in ("--filter", f"event={action}")), name).stdout
        return [json.loads(line)["Actor"]["Attributes"] for line in text.splitlines()]

    def assert_confined(self, link):
        for ids in ("Uid", "Gid"):  # real, effective, saved, of the file system
            self.assertEqual(link[ids].split(), [str(USER)] * 4, link)
        self.assertEqual(link["Groups"].split(), [], link)
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(link[capabilities], NONE, link)
        self.assertEqual((link["NoNewPrivs"], link["Seccomp"]), ("1", FILTERED), link)
        # An empty directory, which is root's and nobody's to write to.
        self.assertEqual((link["root"], link["root_mode"], link["root_owner"]), ([], 0o555, 0), link)
        self.assertFalse(link["root_is_pid_1s"], link)
        own, of_pid_1 = link["net"]
        self.assertNotIn(own, (of_pid_1, "none"), link)
        self.assertEqual(link["interfaces"].split(), ["lo"], link)

    def assert_all_are_confined(self, outside, name):
        """In each of some rounds. Returns the pids."""
        rounds = outside.later_rounds(self)
        for one in rounds:
            self.assertEqual(len(one["links"]), 1, one)
            self.assert_confined(one["links"][0])
        self.assert_ended(vch("exec", name, "echo", "on"), 0, b"on\n", b"")
        return {one["links"][0]["pid"] for one in rounds}

    def test_it_has_what_it_may_have_and_a_forbidden_call_is_its_end(self):
        name = self.name()
        stream = Stream(["run", "-i", "--iso", watched_iso(self.scratch), "--name", name, "busybox", "cat"], 1)
        while stream.received_bytes == 0:
            self.assertIsNone(stream.process.poll())
            time.sleep(0.01)
        outside, own = Outside(name), inspect(name)["Agent"]["Version"]
        first = self.assert_all_are_confined(outside, name)
        self.assertEqual(self.events(name, "link_die"), [])
        self.assert_ended(vch("upgrade", name, "--agent", FORBIDDEN), 0,
                          f"{name}: agent {own} to {FORBIDDEN_VERSION}\n".encode(), b"")
        # One was replaced with its program; the next ends by itself.
        while not (died := [one for one in self.events(name, "link_die") if "forbiddenCall" in one]):
            self.assertIsNone(stream.process.poll())
        self.assertEqual([(one["exitCode"], one["forbiddenCall"]) for one in died],
                         [(str(128 + SIGSYS), "socket (41)")])
        successor = self.assert_all_are_confined(outside, name)
        self.assertFalse(first & successor)
        stream.finish(self)
        self.assertEqual(inspect(name)["ExitCode"], 0)
        self.assertEqual(len([one for one in self.events(name, "link_die") if "forbiddenCall" in one]), 1)
