"""Things going on in a container whose every byte is accounted for, whatever is killed meanwhile."""

import contextlib
import hashlib
import os
import pty
import random
import subprocess
import threading
import time
import tty

from vch_testing import FULL, VCH, vch

CHUNK = 1 << 16
MAX_UNANSWERED = 16  # lines typed ahead
LINES = 1000000 if FULL else 200000  # of one exec that prints


class Stream:
    """`cat` in the container: random bytes in, the same bytes out."""

    def __init__(self, arguments, seed, program=VCH):
        self.process = subprocess.Popen([program, *arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.generator = random.Random(seed)
        self.sent, self.received = hashlib.sha256(), hashlib.sha256()
        self.sent_bytes = self.received_bytes = 0
        self.stopping, self.awake, self.rests = (threading.Event() for _ in range(3))
        self.awake.set()
        self.threads = [threading.Thread(target=self.feed), threading.Thread(target=self.drain)]
        for thread in self.threads:
            thread.start()

    def feed(self):
        # One that has ended says so by its code.
        with contextlib.suppress(BrokenPipeError), self.process.stdin as pipe:
            while not self.stopping.is_set():
                if not self.awake.is_set():
                    self.rests.set()
                    self.awake.wait()
                    continue
                piece = self.generator.randbytes(self.generator.randrange(1, CHUNK))
                pipe.write(piece)
                self.sent.update(piece)
                self.sent_bytes += len(piece)

    def rest(self):
        """Sends nothing more until wake(), and returns once all has come back."""
        self.rests.clear()
        self.awake.clear()
        self.rests.wait()
        while self.received_bytes < self.sent_bytes and self.process.poll() is None:
            time.sleep(0.01)

    def wake(self):
        self.awake.set()

    def drain(self):
        while piece := os.read(self.process.stdout.fileno(), CHUNK):
            self.received.update(piece)
            self.received_bytes += len(piece)

    def give_up(self):
        """Of one whose process has ended by itself."""
        self.stopping.set()
        self.wake()
        for thread in self.threads:
            thread.join()
        self.process.stdout.close()

    def finish(self, test):
        self.stopping.set()
        self.wake()
        for thread in self.threads:
            thread.join()
        test.assertEqual(self.process.wait(), 0)
        self.process.stdout.close()
        test.assertEqual(self.received_bytes, self.sent_bytes)
        test.assertEqual(self.received.digest(), self.sent.digest())


class Terminal:
    """A terminal session that answers each numbered line with one of its own."""

    SCRIPT = 'stty -echo -onlcr; echo ready; while read -r line; do echo "<$line>"; done'

    def __init__(self, name, ssh=()):
        """By `vch exec`, or by these words of ssh's."""
        self.master, slave = pty.openpty()
        if not ssh:  # which has the session's terminal be as this one is, and then makes this one raw
            tty.setraw(slave)
        command = ["ssh", "-tt", *ssh, self.SCRIPT] if ssh else [
            VCH, "exec", "-it", name, "sh", "-c", self.SCRIPT]
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave)
        os.close(slave)
        self.buffer = b""
        self.read_line()
        self.typed, self.answers = 0, []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.talk)
        self.thread.start()

    def read_line(self):
        while b"\n" not in self.buffer:
            self.buffer += os.read(self.master, CHUNK)
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line

    def talk(self):
        while not self.stopping.is_set() or len(self.answers) < self.typed:
            if not self.stopping.is_set() and self.typed - len(self.answers) < MAX_UNANSWERED:
                os.write(self.master, b"line %d\r" % self.typed)
                self.typed += 1
            else:
                self.answers.append(self.read_line())

    def finish(self, test):
        self.stopping.set()
        self.thread.join()
        os.write(self.master, b"\x04")
        test.assertEqual(self.process.wait(), 0)
        os.close(self.master)
        test.assertEqual(self.answers, [b"<line %d>" % i for i in range(self.typed)])


class Printer:
    """Execs that print much, one after another, until it is told to finish."""

    def __init__(self, name):
        self.name = name
        text = "".join(f"{i}\n" for i in range(1, LINES + 1)).encode()
        self.expected = hashlib.sha256(text).hexdigest()
        self.results, self.stopping = [], threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stopping.is_set():
            with subprocess.Popen([VCH, "exec", self.name, "sh", "-c", f"seq 1 {LINES}; exit 9"],
                                  stdout=subprocess.PIPE) as process:
                digest = hashlib.file_digest(process.stdout, "sha256").hexdigest()
            self.results.append((process.returncode, digest))

    def finish(self, test):
        self.stopping.set()
        self.thread.join()
        test.assertEqual(set(self.results), {(9, self.expected)})
        return len(self.results)


class ShortExecs:
    """Each appends its line to /once, and ends with its own code and output."""

    def __init__(self, name):
        self.name, self.results = name, []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stopping.is_set():
            number = len(self.results)
            result = vch("exec", self.name, "sh", "-c", f"echo {number} >>/once; echo short {number}; exit 7")
            self.results.append((result.returncode, result.stdout, result.stderr))

    def finish(self, test):
        self.stopping.set()
        self.thread.join()
        test.assertEqual(self.results,
                         [(7, f"short {i}\n".encode(), b"") for i in range(len(self.results))])
        ran = vch("exec", self.name, "cat", "/once")
        test.assertEqual(ran.stdout.split(), [b"%d" % i for i in range(len(self.results))])
