"""A container that runs moves to another state directory, or stays, and nobody notices more than a pause."""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request

from clock_test import PRECISION, GuestClock, qmp
from traffic import Stream, Terminal
from vch_testing import BUILD, FULL, TIMEOUT, VCH, VmTest, vch

HERE = os.environ["VCH_STATE"]
MIB = 1 << 20


def until(test, what, condition):
    deadline = time.monotonic() + TIMEOUT
    while not (found := condition()):
        if time.monotonic() > deadline:
            test.fail(f"never came: {what}")
    return found


class ShimKiller:
    """Kills whatever shim a container has, from when its move has begun until it is over."""

    def __init__(self, container, target, generator):
        self.lock = os.path.join(container["Directory"], "shim.lock")  # that of the target once it has moved
        self.arriving = os.path.join(target, "containers", ".incoming-" + container["Id"])
        self.generator, self.killed = generator, 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def kill(self):
        """Not whoever holds the lock so that there is none."""
        try:
            with open(self.lock, encoding="ascii") as file:
                pid = int(file.read())
            process = os.pidfd_open(pid)
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return
        try:
            with open(f"/proc/{pid}/comm", encoding="ascii") as file:
                if file.read() == "vch-shim\n":
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                    self.killed += 1
        except (FileNotFoundError, ProcessLookupError):
            pass
        finally:
            os.close(process)

    def run(self):
        while not self.stopping.is_set() and not os.path.exists(self.arriving):
            self.stopping.wait(0.002)
        while not self.stopping.is_set():
            self.kill()
            self.stopping.wait(self.generator.random() / 4)

    def finish(self, test):
        self.stopping.set()
        self.thread.join()
        test.assertGreater(self.killed, 0)
        return self.killed


class Migration(VmTest):
    """Has a second state directory, on the file system of the first."""

    def setUp(self):
        super().setUp()
        self.there = tempfile.mkdtemp(prefix="migrate-", dir=os.path.join(BUILD, "tests"))
        self.addCleanup(shutil.rmtree, self.there)
        self.addCleanup(self.empty_there)

    def empty_there(self):
        names = self.at(self.there, "ps", "-aq").stdout.split()
        for name in names:
            self.at(self.there, "rm", "-f", name.decode())

    def at(self, state, *arguments, **more):
        return vch("--state", state, *arguments, **more)

    def start(self, name, *flags, memory="64m"):
        self.assert_ended(vch("run", "-d", "--name", name, "--memory", memory, *flags, "busybox",
                              "sleep", "1000"), 0)

    def describe(self, name, state):
        result = self.at(state, "inspect", name)
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return json.loads(result.stdout)[0]

    def migrate(self, name, source, target, *flags):
        """Its downtime in ms."""
        result = self.at(source, "migrate", *flags, name, target)
        self.assert_ended(result, 0)
        said = re.fullmatch(rf"{name}: now in {target}, downtime (\d+) ms, [\d.]+ s in all\n",
                            result.stdout.decode())
        self.assertTrue(said, result.stdout)
        return int(said[1])

    def where(self, name):
        """The one state directory that has the container; nothing of it is at the other."""
        having = [state for state in (HERE, self.there)
                  if name in self.at(state, "ps", "--format", "{{.Names}}").stdout.decode().split()]
        self.assertEqual(len(having), 1, having)
        return having[0]

    def machines(self, name):
        """The pids of its QEMUs."""
        found = subprocess.run(["pgrep", "-f", f"guest=vch-{name},"], stdout=subprocess.PIPE,
                               check=False)
        return [int(pid) for pid in found.stdout.split()]

    def assert_one_runs(self, name, state):
        self.assertEqual(self.where(name), state)
        self.assertEqual(len(self.machines(name)), 1)
        self.assert_ended(self.at(state, "exec", name, "echo", "alive"), 0, stdout=b"alive\n")
        left = [entry for place in (HERE, self.there)
                for entry in os.listdir(os.path.join(place, "containers"))
                if entry.startswith(".incoming-")]
        self.assertEqual(left, [])
        directory = self.describe(name, state)["Directory"]
        self.assertFalse(os.path.exists(os.path.join(directory, "migration.json")))


class Moves(Migration):
    def move_under_traffic(self, count, *flags):
        name = self.name("-".join(("c", *flags)))
        script = "echo hello >/tmp/page; httpd -p 80 -h /tmp; exec cat"
        seed = int(os.environ.get("TETHER_SEED", random.randrange(1 << 32)))
        print(f"TETHER_SEED={seed}")
        generator = random.Random(seed)
        stream = Stream(["run", "-i", "--name", name, "--memory", "64m", "--log-opt",
                         f"max-size={'32m' if FULL else '8m'}", "--log-opt", "max-file=64", "-p", "127.0.0.1::80", *flags, "busybox",
                         "sh", "-c", script], seed)
        until(self, "the stream",
              lambda: stream.received_bytes > 0 or stream.process.poll() is not None)
        terminal = Terminal(name)
        followed = os.path.join(self.scratch, "followed")
        with open(followed, "wb") as file:
            follower = subprocess.Popen([VCH, "logs", "-f", name], stdout=file)
        waiter = subprocess.Popen([VCH, "wait", name], stdout=subprocess.PIPE)
        port = vch("port", name, "80").stdout.decode().strip()
        clock = GuestClock(name)
        source, target, downtimes, killed = HERE, self.there, [], 0
        for i in range(count):
            killer, upgrade = None, None
            if i % 3 == 1:
                killer = ShimKiller(self.describe(name, source), target, generator)
            if i % 3 == 2:
                upgrade = subprocess.Popen([VCH, "--state", source, "upgrade-shim", name],
                                           stdout=subprocess.PIPE)
            downtimes.append(self.migrate(name, source, target))
            if killer:
                killed += killer.finish(self)
            if upgrade:
                self.assertEqual((upgrade.communicate()[0], upgrade.returncode), (f"{name}\n".encode(), 0))
            source, target = target, source
            bytes_before, answers_before = stream.received_bytes, len(terminal.answers)
            until(self, "more of the stream",
                  lambda: stream.received_bytes > bytes_before + MIB // 4)
            until(self, "more answers", lambda: len(terminal.answers) > answers_before + 10)
            self.assert_one_runs(name, source)
            # A stream fills a UART: nobody is answered within less than 100 ms there.
            clock.wait_until_right(self, 0.2 if "uart" in flags else PRECISION)
        clock.finish(self)
        downtimes.sort()
        print(f"{count} migrations {flags}, {killed} shims killed in their midst, {stream.sent_bytes >> 20} MiB: downtime p50 "
              f"{downtimes[len(downtimes) // 2]} ms, p99 {downtimes[(len(downtimes) * 99 - 1) // 100]}"
              f" ms, all {downtimes}")
        self.assertEqual(self.at(source, "port", name, "80").stdout.decode().strip(), port)
        with urllib.request.urlopen(f"http://{port}/page", timeout=60) as page:
            self.assertEqual(page.read(), b"hello\n")
        terminal.finish(self)
        stream.finish(self)
        self.assertEqual(waiter.communicate()[0], b"0\n")
        self.assertEqual(follower.wait(), 0)
        # One journal, without a gap and nothing twice.
        logs = self.at(source, "logs", name)
        self.assert_ended(logs, 0, stderr=b"")
        self.assertEqual(hashlib.sha256(logs.stdout).digest(), stream.sent.digest())
        with open(followed, "rb") as file:
            self.assertEqual(hashlib.sha256(file.read()).digest(), stream.sent.digest())
        if source != HERE:
            self.assert_one_line(vch("logs", name), 1, "it has moved", f"--state {self.there}")

    def test_under_full_load_and_an_open_terminal_nothing_is_lost_or_repeated(self):
        self.move_under_traffic(20 if FULL else 3)
        if FULL:
            self.move_under_traffic(5, "--link", "uart")

    def anonymous_volumes(self):
        names = [name for state in (HERE, self.there)
                 for name in self.at(state, "volume", "ls", "-q").stdout.decode().split()]
        return {name for name in names if re.fullmatch("[0-9a-f]{64}", name)}

    def test_what_was_plugged_in_moves_along(self):
        name, others = self.name(), self.anonymous_volumes()
        volume = f"{name}-data"
        self.addCleanup(vch, "volume", "rm", volume)
        self.start(name, "--memory-max", "512m", "--cpus-max", "2", "--link", "uart", "-v",
                   f"{volume}:/data", "-v", "/anonymous", "--rm", memory="128m")
        hot = f"{name}-hot"
        self.addCleanup(vch, "volume", "rm", hot)
        # On a host that has much else to do it says that it may be asked again.
        until(self, "more memory and a CPU",
              lambda: vch("update", "--memory", "300m", "--cpus", "2", name).returncode == 0)
        for command in (("volume", "attach", name, f"{hot}:/hot"),
                        ("network", "connect", name, "user"),
                        ("exec", name, "sh", "-c", "echo 1 >/data/file; echo 2 >/hot/file; sync")):
            self.assert_ended(vch(*command), 0, stderr=b"")
        script = "cat /data/file /hot/file; grep -c ^processor /proc/cpuinfo; ls /sys/class/net | wc -l"
        before = vch("exec", name, "sh", "-c", script).stdout
        self.assertEqual(before.split()[:3], [b"1", b"2", b"2"])
        self.migrate(name, HERE, self.there)
        self.assert_one_runs(name, self.there)
        self.assertEqual(self.at(self.there, "exec", name, "sh", "-c", script).stdout, before)
        # The volumes are in use, whoever asks.
        for state in (HERE, self.there):
            self.assert_one_line(self.at(state, "volume", "rm", volume), 1, "in use")
        self.assert_ended(self.at(self.there, "volume", "detach", name, "/hot"), 0, stderr=b"")
        self.migrate(name, self.there, HERE)
        self.assert_one_runs(name, HERE)
        self.assertEqual(vch("exec", name, "cat", "/data/file").stdout, b"1\n")
        # Made with --rm: gone from where it is, and no pointer to it stays behind.
        self.assert_ended(vch("stop", "-t", "0", name), 0)
        until(self, "its removal", lambda: name not in vch("ps", "-a").stdout.decode())
        until(self, "that of its volume", lambda: self.anonymous_volumes() <= others)


class Stays(Migration):
    def begin(self, name, *flags):
        """A migration that has begun, and its target's QEMU, stopped so that it does not end."""
        identity = self.describe(name, HERE)["Id"]
        process = subprocess.Popen([VCH, "migrate", *flags, name, self.there],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(process.stderr.close)
        arriving = os.path.join(self.there, "containers", ".incoming-" + identity)

        def launched():
            try:
                with open(os.path.join(arriving, "qemu.pid"), encoding="ascii") as file:
                    return int(file.read() or 0)
            except FileNotFoundError:
                return 0

        pid = until(self, "the target's QEMU", launched)
        os.kill(pid, signal.SIGSTOP)
        return process, pid

    def abort(self, name, way):
        """What the aborted one said; one that had arrived before it heard of it goes back for another try."""
        for _ in range(5):
            process, pid = self.begin(name)
            way(process, pid)
            said = process.stderr.read().decode()
            if process.wait() != 0:
                return said
            self.migrate(name, self.there, HERE)
        self.fail("no migration was aborted")

    def test_an_abort_goes_on_at_the_source(self):
        name = self.name()
        self.start(name, "--link", "uart")
        terminal = Terminal(name)

        def interrupt(process, pid):
            process.send_signal(signal.SIGINT)
            os.kill(pid, signal.SIGCONT)

        def die(process, pid):
            process.kill()
            os.kill(pid, signal.SIGCONT)

        def lose_target(_, pid):
            os.kill(pid, signal.SIGKILL)

        def keep_away(*_):
            self.assert_one_line(self.at(self.there, "rm", name), 1, "it is on its way here")
            self.assert_ended(self.at(self.there, "rm", "-f", name), 0)

        for abort in (interrupt, die, lose_target, keep_away):
            with self.subTest(abort=abort.__name__):
                said = self.abort(name, abort)
                if abort is not die:
                    self.assertRegex(said, rf"^vch: .*{name}.*\n$")
                until(self, "the end of the target's QEMU", lambda: len(self.machines(name)) == 1)
                until(self, "the end of it all", lambda: not os.path.exists(
                    os.path.join(self.describe(name, HERE)["Directory"], "migration.json")))
                self.assert_one_runs(name, HERE)
        # Time that is up at once, and killed at whatever moment: then it is in one of the two.
        result = vch("migrate", "--timeout", "0", name, self.there)
        self.assert_one_line(result, 1, "--timeout", "goes on here")
        self.assert_one_runs(name, HERE)
        generator, source, target = random.Random(), HERE, self.there
        for _ in range(20 if FULL else 2):
            process = subprocess.Popen([VCH, "--state", source, "migrate", name, target],
                                       stdout=subprocess.DEVNULL)
            try:
                process.wait(generator.random() * 1.5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            until(self, "one QEMU", lambda: len(self.machines(name)) == 1)
            if self.where(name) == target:
                source, target = target, source
            until(self, "the end of it all", lambda: not os.path.exists(
                os.path.join(self.describe(name, source)["Directory"], "migration.json")))
            self.assert_one_runs(name, source)
        terminal.finish(self)
        self.assert_ended(self.at(source, "rm", "-f", name), 0)
        self.assertEqual(self.machines(name), [])

    def test_one_that_is_removed_meanwhile_arrives_nowhere(self):
        name = self.name()
        self.start(name)
        process, pid = self.begin(name)
        self.assert_ended(vch("rm", "-f", name), 0, f"{name}\n".encode())
        os.kill(pid, signal.SIGCONT)
        said = process.stderr.read().decode()
        self.assertNotEqual(process.wait(), 0)
        self.assertRegex(said, rf"^vch: .*{name}.*\n$")
        until(self, "the end of both QEMUs", lambda: self.machines(name) == [])
        for state in (HERE, self.there):
            self.assertNotIn(name, self.at(state, "ps", "-a").stdout.decode())
        left = os.listdir(os.path.join(self.there, "containers"))
        self.assertEqual([entry for entry in left if entry != ".lock"], [])

    def test_the_journal_is_rotated_once_it_has_arrived(self):
        name = self.name()
        stream = Stream(["run", "-i", "--name", name, "--memory", "64m", "--log-opt", "max-size=1m",
                         "--log-opt", "max-file=64", "busybox", "cat"], 1)

        def journals(state):
            directory = self.describe(name, state)["Directory"]
            return {file for file in os.listdir(directory) if re.fullmatch(r"journal(\.\d+)?", file)}

        until(self, "a rotation", lambda: stream.received_bytes > 0 and len(journals(HERE)) > 1)
        process, pid = self.begin(name)
        begun, before = stream.received_bytes, journals(HERE)
        until(self, "more than a file of the journal takes", lambda: stream.received_bytes > begun + 3 * MIB)
        self.assertLessEqual(len(journals(HERE)), len(before) + 1)  # one was under way, say
        os.kill(pid, signal.SIGCONT)
        said = [line for line in process.stderr.read().splitlines() if not line.endswith(b" left")]  # how far it is
        self.assertEqual((said, process.wait()), ([], 0))
        until(self, "a rotation", lambda: len(journals(self.there)) > len(before) + 1)
        stream.finish(self)
        logs = self.at(self.there, "logs", name)
        self.assert_ended(logs, 0, stderr=b"")
        self.assertEqual(hashlib.sha256(logs.stdout).digest(), stream.sent.digest())

    def test_what_cannot_be_moved_is_refused_by_its_name(self):
        name = self.name()
        for link, word in (("vsock", "vhost-device-vsock"), ("uart-tcp", "uart-tcp")):
            self.assert_ended(vch("create", "--name", name, "--link", link, "busybox", "true"), 0)
            self.assert_one_line(vch("migrate", name, self.there), 1, name, word)
            vch("rm", name)
        self.assert_ended(vch("create", "--name", name, "busybox", "true"), 0)
        self.assert_one_line(vch("migrate", name, self.there), 1, name, "does not run")
        vch("rm", name)
        self.assert_one_line(vch("migrate", "nobody", self.there), 1, "nobody")
        self.start(name)
        self.assert_one_line(vch("migrate", name, HERE), 1, "there already")
        if os.stat("/dev/shm").st_dev != os.stat(HERE).st_dev:
            with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
                self.assert_one_line(vch("migrate", name, other), 1, "file system")
        booting = self.name("booting")
        with subprocess.Popen([VCH, "run", "-d", "--name", booting, "--memory", "64m", "busybox",
                               "sleep", "1000"], stdout=subprocess.DEVNULL):
            while (moved := vch("migrate", booting, self.there)).returncode != 0:
                self.assertRegex(moved.stderr, b"not booted yet|does not run|no container|there are")
        self.assert_one_runs(booting, self.there)
        qmp(name, "stop")
        self.assert_one_line(vch("migrate", name, self.there), 1, "its machine is stopped")
        qmp(name, "cont")
        self.assert_one_runs(name, HERE)
