"""The agent, PID 1 included, is replaced by another program while streams, execs and a terminal go on.

TETHER_SEED=n repeats a run's choices; TETHER_FULL=1 upgrades more often.
"""

import json
import os
import pathlib
import random
import signal
import subprocess
import threading
import time

from clock_test import qmp
from ssh_fixture import wait_until
from traffic import Stream, Terminal
from vch_testing import BUILD, FULL, VmTest, inspect, kill_shim, vch

UPGRADES = 25 if FULL else 5
LOGIN_UPGRADES = 20 if FULL else 3
OWN = os.path.join(BUILD, "bin", "tether")
NEXT = os.path.join(BUILD, "tests", "agent-next")
NEXT_VERSION, OLDEST_VERSION = "0.1.0-next", "0.1.0-oldest"
MAX_GROWTH = 256  # KiB of PSS, of the same program when nothing goes on
MAX_SHARED = 8 << 10  # KiB; streams hold more at one moment than at another


def made(name):
    return os.path.join(BUILD, "tests", f"agent-{name}")


def agent_version(name):
    while (version := inspect(name)["Agent"]["Version"]) is None:
        pass  # it was not asked in time: the machine has much to do
    return version


class Upgrade(VmTest):
    def upgrade(self, name, agent, was, becomes):
        self.assert_ended(vch("upgrade", name, "--agent", agent), 0,
                          f"{name}: agent {was} to {becomes}\n".encode(), b"")
        self.assertEqual(agent_version(name), becomes)

    def refused(self, name, *words, agent=NEXT, flags=()):
        self.assert_one_line(vch("upgrade", name, "--agent", agent, *flags), 1, name, *words)

    def shared_memory(self, name):
        """KiB of the machine's memory files and tmpfs: the agent's programs are there."""
        text = vch("exec", name, "sed", "-n", "s/^Shmem: *//p", "/proc/meminfo").stdout
        return int(text.split()[0])

    def pauses(self, name):
        """From the last act of one program to the first of the next, ms, of each upgrade."""
        result = vch("events", "--since", "0", "--until", "0s", "--format", "json", "--filter",
                     "event=upgrade_begin", "--filter", "event=upgrade", name)
        events = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual([event["Action"] for event in events],
                         ["upgrade_begin", "upgrade"] * (len(events) // 2))
        times = [event["timeNano"] for event in events]
        return [(after - before) // 1000000 for before, after in zip(times[::2], times[1::2])]

    def no_zombie(self, name):
        stat = vch("exec", name, "sh", "-c", "cat /proc/[0-9]*/stat")
        self.assertEqual([line for line in stat.stdout.split(b"\n") if b") Z " in line], [])

    def test_nothing_is_lost_while_it_is_replaced(self):
        seed = int(os.environ.get("TETHER_SEED", random.randrange(1 << 32)))
        print(f"TETHER_SEED={seed}", flush=True)
        generator = random.Random(seed)
        name = self.name()
        # Every event is looked at in the end: the journal keeps all that the stream makes it.
        primary = Stream(["run", "-i", "--log-opt", "max-size=1g", "--name", name, "busybox", "cat"],
                         generator.random())
        while primary.received_bytes == 0:
            self.assertIsNone(primary.process.poll())
            time.sleep(0.01)
        own = agent_version(name)
        session = Stream(["exec", "-i", name, "cat"], generator.random())
        terminal = Terminal(name)
        begun, took, shared = time.monotonic(), [], []
        for number in range(1, UPGRADES + 1):
            was, becomes, agent = (own, NEXT_VERSION, NEXT) if number % 2 else (NEXT_VERSION, own, OWN)
            killer = threading.Timer(generator.random(), kill_shim, [name])
            if number % 2 == 0:
                killer.start()  # the host end dies in the midst of it
            before = time.monotonic()
            self.upgrade(name, agent, was, becomes)
            took.append(time.monotonic() - before)
            killer.cancel()
            reached = session.received_bytes
            self.assert_ended(vch("exec", name, "sh", "-c", "echo $$ >>/once; exit 7"), 7, b"", b"")
            while session.received_bytes == reached:  # the streams go on, each time
                self.assertIsNone(session.process.poll())
                time.sleep(0.01)
            shared.append(self.shared_memory(name))
        self.no_zombie(name)
        terminal.finish(self)
        session.finish(self)
        ran = vch("exec", name, "wc", "-l", "/once")
        self.assertEqual(ran.stdout.split()[0], b"%d" % UPGRADES)
        primary.finish(self)
        pauses = self.pauses(name)
        print(f"{UPGRADES} upgrades in {time.monotonic() - begun:.0f} s, {max(took):.1f} s at most; "
              f"primary {primary.sent_bytes} bytes each way, exec {session.sent_bytes}, terminal "
              f"{terminal.typed} lines; pauses {pauses} ms; shared {shared} KiB", flush=True)
        self.assertEqual(inspect(name)["ExitCode"], 0)
        self.assertLess(shared[-1], shared[0] + MAX_SHARED, shared)
        self.assertEqual(len(pauses), UPGRADES)

    def test_ssh_logins_notice_nothing(self):
        name, config = self.name(), os.path.join(self.scratch, "config")
        self.assert_ended(vch("run", "-d", "--name", name, "busybox", "sleep", "1000000"), 0)
        pathlib.Path(config).write_bytes(vch("ssh-config").stdout)
        ssh, own = ("-F", config, f"{name}.vch"), agent_version(name)
        streams = [Stream([*ssh, "cat"], seed, program="ssh") for seed in (1, 2)]
        terminal = Terminal(name, ssh)
        idle = subprocess.Popen(["ssh", "-N", *ssh], stdin=subprocess.DEVNULL)
        self.addCleanup(idle.wait)
        self.addCleanup(idle.kill)
        for stream in streams:
            while stream.received_bytes == 0:
                self.assertIsNone(stream.process.poll())
                time.sleep(0.01)
        while (logins := inspect(name)["Agent"]["SshLogins"]) != 4:
            self.assertIsNone(idle.poll(), logins)
        for number in range(1, LOGIN_UPGRADES + 1):
            was, becomes, agent = (own, NEXT_VERSION, NEXT) if number % 2 else (NEXT_VERSION, own, OWN)
            self.upgrade(name, agent, was, becomes)
            while (inspect(name)["Agent"]["LinkRestarts"] or 0) < number:
                pass  # the old one serves until it has handed over
            reached = [stream.received_bytes for stream in streams]
            typed = len(terminal.answers)
            while (any(stream.received_bytes == before for stream, before in zip(streams, reached))
                   or len(terminal.answers) == typed):
                self.assertEqual([process.poll() for process in (*[s.process for s in streams],
                                                                 terminal.process, idle)], [None] * 4)
                time.sleep(0.01)
        terminal.finish(self)
        for stream in streams:
            stream.finish(self)
        self.assert_ended(subprocess.run(["ssh", *ssh, "cat; exit 7"], input=b"new", check=False,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE), 7, b"new", b"")
        print(f"{LOGIN_UPGRADES} upgrades; {[stream.sent_bytes for stream in streams]} bytes each way through two "
              f"logins, {terminal.typed} lines through a third", flush=True)
        logins = vch("events", "--since", "0", "--until", "0s", "--filter", "event=ssh_login", name)
        self.assertEqual(logins.stdout.count(b"\n"), 5, logins.stdout)

    def test_from_an_agent_that_writes_the_oldest_state(self):
        """It is read as it was meant then: what is a descriptor's number today was a time."""
        name = self.name()
        stream = Stream(["run", "-i", "--name", name, "busybox", "cat"], 1)
        while stream.received_bytes == 0:
            self.assertIsNone(stream.process.poll())
            time.sleep(0.01)
        own, terminal = agent_version(name), Terminal(name)
        for was, becomes, agent in ((own, OLDEST_VERSION, made("oldest")), (OLDEST_VERSION, own, OWN),
                                    (own, NEXT_VERSION, NEXT)):
            self.upgrade(name, agent, was, becomes)
            reached, typed = stream.received_bytes, len(terminal.answers)
            while stream.received_bytes == reached or len(terminal.answers) == typed:
                self.assertEqual((stream.process.poll(), terminal.process.poll()), (None, None))
                time.sleep(0.01)
            self.assert_ended(vch("exec", name, "sh", "-c", "echo on; exit 7"), 7, b"on\n", b"")
        terminal.finish(self)
        stream.finish(self)
        self.assertEqual(inspect(name)["ExitCode"], 0)

    def test_a_bad_one_leaves_the_old_one_running(self):
        name = self.name()
        stream = Stream(["run", "-i", "--name", name, "busybox", "cat"], 1)
        while stream.received_bytes == 0:
            self.assertIsNone(stream.process.poll())
            time.sleep(0.01)
        own, terminal = agent_version(name), Terminal(name)
        text = pathlib.Path(self.scratch, "text")
        text.write_text("no program\n", encoding="ascii")
        restarts = inspect(name)["Agent"]["LinkRestarts"]
        for agent, *words in ((made("crashes"), "did not come up", "signal 11"),
                              (made("hangs"), "did not come up", "more than 10 s"),
                              (made("refuses"), "it would rather not"),
                              ("/bin/busybox", "does not run"), (str(text), "does not run")):
            with self.subTest(agent):
                self.refused(name, *words, agent=agent)
                self.assertEqual(agent_version(name), own)
                self.assert_ended(vch("exec", name, "echo", "on"), 0, b"on\n", b"")
        with self.subTest("signatures"):
            signature = pathlib.Path(self.scratch, "signature")
            for bytes_ in (b"x" * 70, b"\x30\x06\x02\x01\x01\x02\x01\x01"):
                signature.write_bytes(bytes_)
                self.refused(name, "signature", agent=str(text), flags=("--signature", str(signature)))
        with self.subTest("files"):
            for path, why in ((os.path.join(self.scratch, "missing"), "No such file"), ("/dev/null", "empty")):
                self.assert_one_line(vch("upgrade", name, "--agent", path), 1, path, why)
        self.assertEqual(inspect(name)["Agent"]["LinkRestarts"], restarts)
        self.upgrade(name, NEXT, own, NEXT_VERSION)  # a good one still may
        terminal.finish(self)
        stream.finish(self)
        events = vch("events", "--since", "0", "--until", "0s", "--filter", "event=upgrade_fail", name)
        self.assertEqual(events.stdout.count(b"\n"), 2, events.stdout)

    def test_the_operators_key_and_what_the_container_can_do(self):
        key, shown = os.path.join(self.scratch, "key"), os.path.join(self.scratch, "key.pub")
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key],
                       check=True)
        subprocess.run(["openssl", "ec", "-in", key, "-pubout", "-out", shown], check=True,
                       stderr=subprocess.DEVNULL)
        name, signature = self.name(), os.path.join(self.scratch, "signature")
        self.assert_ended(
            vch("run", "-d", "--privileged", "--init", "--restart", "always", "--upgrade-key", shown,
                "--name", name, "busybox", "sh", "-c", "echo begun; exec sleep 1000000"), 0)
        directory = inspect(name)["Directory"]
        self.assertFalse(os.path.exists(os.path.join(directory, "upgrade.key")))
        own = agent_version(name)
        self.refused(name, "--signature")
        sign = ["openssl", "dgst", "-sha256", "-sign", key, "-out", signature]
        subprocess.run([*sign, "/dev/null"], check=True)
        self.refused(name, "signature", flags=("--signature", signature))
        # What the agent opened once, before there was a container, it never opens again.
        self.assert_ended(vch("exec", name, "sh", "-ec", "mkdir /nodes; mount -t devtmpfs none /nodes; "
                              "mv /nodes/null /nodes/before; mkfifo /nodes/null"), 0, b"", b"")
        memory = []
        for agent, was, becomes in ((NEXT, own, NEXT_VERSION), (OWN, NEXT_VERSION, own),
                                    (NEXT, own, NEXT_VERSION)):
            subprocess.run([*sign, agent], check=True)
            done = vch("upgrade", name, "--agent", agent, "--signature", signature)
            self.assert_ended(done, 0, f"{name}: agent {was} to {becomes}\n".encode(), b"")
            self.assert_ended(vch("exec", name, "cat"), 0, b"", b"")  # of the null that was before
            memory.append(inspect(name)["Agent"]["PssKiB"])
        print(f"memory {memory} KiB", flush=True)
        self.assertLess(memory[-1], memory[0] + MAX_GROWTH, memory)
        # An init of the new program can be reached from inside; neither its bytes nor its modes change.
        vch("exec", name, "killall", "sleep")  # may itself go with what is left of that run
        while inspect(name)["RestartCount"] == 0 or inspect(name)["State"] != "running":
            time.sleep(0.05)
        tried = vch("exec", name, "sh", "-c",
                    "chmod 0 /proc/1/exe; echo x >>/proc/1/exe; ls -l /proc/1/exe")
        self.assertIn(b"Read-only", tried.stderr, tried)
        self.assert_ended(vch("exec", name, "echo", "on"), 0, b"on\n", b"")
        self.assertIn(b"begun\nbegun\n", vch("logs", name).stdout)
        # The first agent's descriptor, which none of them has opened again.
        qmp(name, "system_powerdown")
        wait_until(self, "the machine's end", lambda: inspect(name)["Machine"]["Pid"] is None)
        self.assertEqual(inspect(name)["ExitCode"], 128 + signal.SIGTERM)
        self.refused(name, "does not run")

    def test_without_a_key_it_is_refused_by_the_fields_name(self):
        shown = os.path.join(self.scratch, "bad.pub")
        pathlib.Path(shown).write_text("no key\n", encoding="ascii")
        self.assert_one_line(
            vch("create", "--upgrade-key", shown, "--name", self.name(), "busybox", "true"), 125, shown,
            "P-256")
