"""A guest that is one end of a link and nothing else, QEMU around it, and the link's host end.

For tests/vm/transport_test.py and tests/bench/transport/vm_bench.py; the two ends' programs are in
tests/peers, which say what can be asked of them.
"""

import json
import os
import queue
import random
import select
import socket
import subprocess
import threading
import time

BUILD = os.environ["TETHER_BUILD"]
FULL = os.environ.get("TETHER_FULL") == "1"
TIMEOUT = 120  # a bound for what hangs; nothing waits for it


def initramfs(program):
    """A "newc" cpio archive that holds /init and /dev/console."""
    out = bytearray()

    def add(name, mode, content=b"", device=(0, 0)):
        fields = (len(out) + 1, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name) + 1, 0)
        out.extend(b"070701" + b"".join(b"%08x" % field for field in fields))
        for part in (name.encode() + b"\0", content):
            out.extend(part)
            out.extend(bytes(-len(out) % 4))

    with open(program, "rb") as file:
        content = file.read()
    add("dev", 0o040755)
    add("dev/console", 0o020600, device=(5, 1))
    add("init", 0o100755, content)
    add("TRAILER!!!", 0)
    return bytes(out)


def wait_until(condition, what):
    """For what nobody announces."""
    end = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"after {TIMEOUT} s still not: {what}")
        time.sleep(0.005)


class Lines:
    """The lines of a stream, read by a thread so that waiting has a bound."""

    def __init__(self, stream):
        self.queue = queue.Queue()
        self.seen = []
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream):
        with stream:
            for line in stream:
                self.queue.put(line.rstrip("\n"))
        self.queue.put(None)

    def next(self):
        try:
            line = self.queue.get(timeout=TIMEOUT)
        except queue.Empty:
            raise AssertionError(f"nothing for {TIMEOUT} s after {self.seen[-20:]}") from None
        self.seen.append(line)
        return line


class Guest:
    """A QEMU with a transport_guest in it.

    `links` go to transport_guest; `arguments` are QEMU's, with the chardevs that they need.
    """

    def __init__(self, scratch, name, links, arguments, fds=()):
        self.base = os.path.join(scratch, name)
        image = os.path.join(scratch, "initramfs")
        if not os.path.exists(image):
            with open(image, "wb") as file:
                file.write(initramfs(os.path.join(BUILD, "tests", "transport_guest")))
        self.qmp_path = self.base + ".qmp"
        self.console = self.base + ".console"
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
             "-nic", "none", "-no-reboot", "-machine", "q35,i8042=off", "-accel", "tcg",
             "-cpu", "max", "-m", "128", "-smp", "1",
             "-qmp", f"unix:{self.qmp_path},server=on,wait=off",
             "-chardev", f"file,id=console,path={self.console}", "-serial", "chardev:console",
             "-kernel", os.path.join(BUILD, "kernel", "bzImage"), "-initrd", image,
             "-append", "console=ttyS0 quiet panic=-1 -- " + " ".join(links), *arguments],
            stdin=subprocess.DEVNULL, pass_fds=fds)
        self._qmp = None

    def qmp(self, command, **arguments):
        """Gives the command's answer."""
        if self._qmp is None:
            wait_until(lambda: os.path.exists(self.qmp_path), "QEMU listens")
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(TIMEOUT)
            connection.connect(self.qmp_path)
            self._qmp = connection.makefile("rw")
            connection.close()
            json.loads(self._qmp.readline())
            self.qmp("qmp_capabilities")
        self._qmp.write(json.dumps({"execute": command, "arguments": arguments}))
        self._qmp.flush()
        while True:
            answer = json.loads(self._qmp.readline())
            if "error" in answer:
                raise AssertionError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def wait(self):
        return self.process.wait(TIMEOUT)

    def close(self):
        if self._qmp is not None:
            self._qmp.close()
        self.process.kill()
        self.process.wait()


class Host:
    """A transport_host. Fails as soon as it says that something failed."""

    def __init__(self, link, fds=()):
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "tests", "transport_host"), link], pass_fds=fds, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lines = Lines(self.process.stdout)

    def say(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def hear(self, word):
        """The rest of the next line that begins with the word, split; others are passed over."""
        while True:
            line = self.lines.next()
            if line is None or line.startswith("failed:"):
                raise AssertionError(f"waiting for '{word}': {line}; before: {self.lines.seen[-20:]}")
            words = line.split()
            if words[0] == word:
                return words[1:]

    def ask(self, command, word=None):
        self.say(command)
        return self.hear(word or command.split()[0])

    def progress(self):
        return [int(word) for word in self.ask("progress")]

    def wait_for_progress(self, more):
        """Until each of the three streams has moved so many bytes more."""
        before = self.progress()
        wait_until(lambda: all(now >= then + size for now, then, size in
                               zip(self.progress(), before, more)), f"progress by {more}")

    def ended(self):
        """What the guest tells of its connections that have ended."""
        self.say("ended")
        lines = []
        while (words := self.hear("ended")):
            lines.append(" ".join(words))
        return lines

    def stop(self):
        """Ends what start began; gives the bytes that each stream moved, whole and in order."""
        self.say("stop")
        moved = {}
        while len(moved) < 3:
            line = self.lines.next()
            if line is None or line.startswith("failed:"):
                raise AssertionError(f"stopping: {line}; before: {self.lines.seen[-20:]}")
            words = line.split()
            if len(words) == 3 and words[2] == "ok":
                moved[words[0]] = int(words[1])
        return moved

    def close(self):
        self.process.kill()
        self.process.stdin.close()
        self.process.wait()


class Relay:
    """Listens for the host end and passes everything on to `target`, which may change.

    `cut_after` gives, at each new link, after how many bytes both sides are closed, or None.
    """

    def __init__(self, path, target, cut_after=lambda: None):
        self.path, self.target, self.cut_after = path, target, cut_after
        self.cuts = self.links = self.passed = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._closed = False
        self._thread.start()

    def close(self):
        self._closed = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(TIMEOUT)
        self._listener.close()

    def _run(self):
        while not self._closed:
            try:
                host, _ = self._listener.accept()
            except OSError:
                return
            guest = socket.socket(socket.AF_UNIX)
            with host, guest:
                try:
                    guest.connect(self.target)
                    self.links += 1
                    self._pass(host, guest, self.cut_after())
                except OSError:
                    pass  # one side has gone: so does the other

    def _pass(self, host, guest, left):
        """Each side is read only while what it said before has been taken: neither can deadlock."""
        other, held = {host: guest, guest: host}, {host: b"", guest: b""}
        for side in held:
            side.setblocking(False)
        while not self._closed:
            readers = [side for side in held if not held[side]]
            writers = [other[side] for side in held if held[side]]
            readable, writable, _ = select.select(readers, writers, [], 1)
            for side in readable:
                held[side] = side.recv(65536)
                if not held[side]:
                    return
            for side in held:
                if not held[side] or (other[side] not in writable and side not in readable):
                    continue
                try:
                    sent = other[side].send(held[side][:left])
                except BlockingIOError:
                    continue
                held[side] = held[side][sent:]
                self.passed += sent
                if left is not None:
                    left -= sent
                    if left == 0:
                        self.cuts += 1
                        return


def seed():
    """For what is random: printed, and given back with TETHER_SEED."""
    value = int(os.environ.get("TETHER_SEED") or random.randrange(1 << 32))
    print(f"seed {value}: TETHER_SEED={value} repeats it", flush=True)
    return value
