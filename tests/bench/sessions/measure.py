"""The measurements; each of one peer, and of nothing else at that moment."""

import os
import pty
import signal
import statistics
import struct
import subprocess
import threading
import time

from peers import Ssh

PEER = "/usr/bin/session_peer"
READ_SIZE = 1 << 18
PATIENCE = 30  # seconds for 64 commands at once
AT_HAND = 0.02  # seconds
STAMPED = 4096  # the block whose numbers show what is lost or repeated


def start(peer, *command, stdin=None, **more):
    return subprocess.Popen(peer.argv(*command, stdin=stdin is not None),
                            stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE, **more)


def finish(process, what):
    if process.wait() != 0:
        raise AssertionError(f"{what}: exit code {process.returncode}")


def run_true(peer):
    finish(start(peer, "/usr/bin/true"), f"{peer.name}: true")


def run_true_beside(peer, count):
    """So many at once: (how many ended without their exit code, how many never did). dropbear 2022.83
    misses ends of children that come together, so neither is an error here."""
    running = [start(peer, "/usr/bin/true", stderr=subprocess.DEVNULL) for _ in range(count)]
    lost = hung = 0
    end = time.monotonic() + PATIENCE
    for process in running:
        try:
            lost += process.wait(max(end - time.monotonic(), 0)) != 0
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            hung += 1
    return lost, hung


class AgentRunner:
    """run_true and run_true_beside for guest-exec."""

    def __init__(self, agent):
        self._agent = agent

    def one(self):
        self._agent.finish(self._agent.start("/usr/bin/true"))

    def beside(self, count):
        for pid in [self._agent.start("/usr/bin/true") for _ in range(count)]:
            self._agent.finish(pid)
        return 0, 0


def runners(peer):
    """(one `true`, many at once)"""
    if hasattr(peer, "argv"):
        return lambda: run_true(peer), lambda count: run_true_beside(peer, count)
    agent = AgentRunner(peer)
    return agent.one, agent.beside


class Execs:
    """The costs of `true`, by its number since the peer came up: instructions where the machine
    counts them, milliseconds otherwise."""

    def __init__(self, peer):
        self._peer, self._counter = peer, peer.machine.counter
        self._one, self._beside = runners(peer)
        self.lost = self.hung = 0  # by `beside`

    def _cost(self, action):
        if self._counter:
            before = self._counter.settled()
            action()
            return self._counter.settled() - before
        begin = time.perf_counter()
        action()
        return (time.perf_counter() - begin) * 1e3

    def one(self):
        return self._cost(self._one)

    def median(self, count):
        return statistics.median(self.one() for _ in range(count))

    def pass_by(self, count):
        for _ in range(count):
            self._one()

    def beside(self, count):
        """The cost of each of so many at once; nothing when some never ended or the server did not
        survive it. Then there is a new login."""
        failed = False

        def all_():
            nonlocal failed
            self.lost, self.hung = self._beside(count)
            # Before the guest is waited for: without a host end the port is looked at all the time.
            failed = isinstance(self._peer, Ssh) and self._peer.revive(self.hung > 0)
        cost = self._cost(all_)
        return None if failed or self.hung > 0 else cost / count


class Typist:
    """A terminal in the guest, whose line discipline echoes what is typed to a reader."""

    def __init__(self, peer):
        self._fd, terminal = pty.openpty()
        self._process = subprocess.Popen(peer.argv(PEER, "read", tty=True), stdin=terminal,
                                         stdout=terminal, stderr=terminal, start_new_session=True)
        os.close(terminal)
        said = b""  # then the host's end of it is raw, and what echoes is the guest's
        while not said.endswith(b"ready\r\n"):
            said += os.read(self._fd, 4096)
        self.key()

    def key(self):
        """Milliseconds from a key to its echo."""
        begin = time.perf_counter()
        os.write(self._fd, b"k")
        if os.read(self._fd, 1) != b"k":
            raise AssertionError("something else than the echo came back")
        return (time.perf_counter() - begin) * 1e3

    def close(self):
        os.write(self._fd, b"\x15\x04")  # the line is cleared, and then ends
        while True:
            try:
                if not os.read(self._fd, 4096):
                    break
            except OSError:  # how a pty says EOF
                break
        self._process.wait()
        os.close(self._fd)


def echo(peer, keys, beside_bulk):
    """Milliseconds from key to echo: (median, 99th of 100)."""
    typist = Typist(peer)
    bulk = None
    if beside_bulk:
        bulk = start(peer, PEER, "write", "32768", str(1 << 50))
        for _ in range(64):  # it flows
            bulk.stdout.read(READ_SIZE)
        drain = threading.Thread(target=read_to_end, args=(bulk.stdout,))
        drain.start()
    times = sorted(typist.key() for _ in range(keys))
    if bulk:
        bulk.send_signal(signal.SIGTERM)
        bulk.wait()
        drain.join()
    typist.close()
    peer.end_rest()
    return statistics.median(times), times[len(times) * 99 // 100]


def read_to_end(file):
    while file.read(READ_SIZE):
        pass


def stdout_speed(peer, block, total):
    """MB/s of a process that writes `block` bytes at a time, from the first byte to the last."""
    process = start(peer, PEER, "write", str(block), str(total))
    buffer = bytearray(READ_SIZE)
    first = got = process.stdout.raw.readinto(buffer)
    begin = time.perf_counter()
    while True:
        size = process.stdout.raw.readinto(buffer)
        if size == 0:
            break
        got += size
    seconds = time.perf_counter() - begin
    finish(process, f"{peer.name}: stdout")
    if got != total:
        raise AssertionError(f"{peer.name}: {got} of {total} bytes came out")
    return (got - first) / seconds / 1e6


def pipe_speed(peer, block, total):
    """MB/s of the same process into a pipe, from which another one in the guest only reads, woken at
    each write: how dear the writes and the switches are by themselves."""
    line = f"{PEER} write {block} {total} | {PEER} read"  # which SSH gives to a shell by itself
    process = start(peer, *([line] if isinstance(peer, Ssh) else ["/bin/sh", "-c", line]))
    if process.stdout.readline() != b"ready\n":
        raise AssertionError(f"{peer.name}: the reader did not start")
    begin = time.perf_counter()
    got = int(process.stdout.readline())
    seconds = time.perf_counter() - begin
    finish(process, f"{peer.name}: pipe")
    if got != total:
        raise AssertionError(f"{peer.name}: {got} of {total} bytes went through a pipe")
    return total / seconds / 1e6


def stdin_speed(build, peer, block, total):
    """MB/s into a process, `block` bytes at a time, from the first byte to the word that all came."""
    source, sink = os.pipe()
    process = start(peer, PEER, "read", stdin=source)
    os.close(source)
    if process.stdout.readline() != b"ready\n":
        raise AssertionError(f"{peer.name}: the reader did not start")
    begin = time.perf_counter()
    writer = subprocess.Popen([f"{build}/tests/session_peer", "write", str(block), str(total)],
                              stdout=sink)
    os.close(sink)
    got = int(process.stdout.readline())
    seconds = time.perf_counter() - begin
    finish(writer, "the writer")
    finish(process, f"{peer.name}: stdin")
    if got != total:
        raise AssertionError(f"{peer.name}: {got} of {total} bytes went in")
    return total / seconds / 1e6


class Stream:
    """Stamped blocks out of the guest, and when they came."""

    def __init__(self, peer, total):
        self._total = total
        self._process = start(peer, PEER, "write", str(STAMPED), str(total))
        self._data = bytearray()
        self.arrivals = []  # (when, how many bytes there were by then)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        while piece := self._process.stdout.read1(READ_SIZE):
            self._data += piece
            self.arrivals.append((time.perf_counter(), len(self._data)))

    def size(self):
        return len(self._data)

    def check(self):
        """To the end: every block once and in order."""
        self._reader.join()
        finish(self._process, "the stream")
        numbers = range(self._total // STAMPED)
        seen = [struct.unpack_from("<Q", self._data, i)[0]
                for i in range(0, len(self._data) - 7, STAMPED)]
        if len(self._data) != self._total or seen != list(numbers):
            raise AssertionError(f"the stream has {len(self._data)} of {self._total} bytes, or some "
                                 "of them at the wrong place")

    def abandon(self):
        self._process.kill()
        self._process.wait()
        self._reader.join()


def outage(arrivals, since):
    """Milliseconds from `since` to the end of the pause that it began: the longest of those that
    begin while the client may still have had bytes at hand. A busy host makes others later."""
    times = [since] + [when for when, _ in arrivals if when >= since]
    pauses = [(after - before, after) for before, after in zip(times, times[1:])
              if before - since < AT_HAND]
    return (max(pauses)[1] - since) * 1e3
