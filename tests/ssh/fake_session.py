"""A session of fake_agent.py's, a process of this host, and the protobuf that asks for it."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading

SHELL, CHECK, SFTP, RESOLVE = range(4)
PIECE = 32 * 1024


def varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    """Of a protobuf message: by number, a list of numbers or bytes."""
    found, at = {}, 0
    while at < len(data):
        key, at = read_varint(data, at)
        if key & 7 == 0:
            value, at = read_varint(data, at)
        else:
            size, at = read_varint(data, at)
            value, at = data[at:at + size], at + size
        found.setdefault(key >> 3, []).append(value)
    return found


def first(message, number, default):
    return message.get(number, [default])[0]


def member(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def in_thread(function, *arguments):
    def guarded():
        try:
            function(*arguments)
        except (OSError, EOFError):
            pass

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    return thread


class Output:
    """What a session said, from the first byte on that its client has not taken."""

    MOST = 1 << 20

    def __init__(self):
        self.start, self.data, self.ended = 0, bytearray(), False
        self.changed = threading.Condition()

    def fill(self, fd):
        while True:
            try:
                data = os.read(fd, PIECE)
            except OSError:  # of a terminal that nobody holds any more
                data = b""
            with self.changed:
                self.data += data
                self.ended = not data
                self.changed.notify_all()
                if self.ended:
                    os.close(fd)
                    return
                self.changed.wait_for(lambda: len(self.data) < self.MOST)

    def taken(self, offset):
        with self.changed:
            if offset > self.start:
                del self.data[:offset - self.start]
                self.start = offset
                self.changed.notify_all()

    def piece(self, offset):
        """Waits for one; an empty one is the end."""
        with self.changed:
            self.changed.wait_for(lambda: self.ended or self.start + len(self.data) > offset)
            return bytes(self.data[offset - self.start:offset - self.start + PIECE])


class Session:
    """A process, from its request on; its streams go to whoever attaches, from where he says."""

    def __init__(self, agent, login, session):
        self.tty = bool(first(session, 5, 0))
        window = fields(first(session, 8, b""))
        self.outputs, self.input, self.process = [], None, None
        self.taking, self.taken = threading.Lock(), 0  # bytes of input
        self.kind = first(login, 1, SHELL)
        self.modes = first(login, 3, b"")
        self.user = first(session, 4, b"").decode()
        self.code = 0 if self.user in agent.users else 1
        if self.kind == CHECK or self.code != 0:
            return
        command = session.get(1, []) + login.get(2, [])
        argv = ["/bin/sh", "-c", command[0]] if command else ["/bin/sh"]
        if self.kind == SFTP:
            argv = [agent.program, "sftp"]
        if self.kind == RESOLVE:
            argv = [agent.program, "resolve", command[0]]
        env = dict(os.environ, PS1="login$ ")
        for word in session.get(2, []):
            name, _, value = word.decode().partition("=")
            env[name] = value
        more = {"env": env, "start_new_session": True, "cwd": agent.directory}
        if self.tty:
            ours, theirs = pty.openpty()
            self.input = ours
            self.resize(first(window, 1, 24), first(window, 2, 80))
            self.process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs,
                                            preexec_fn=take_terminal, **more)
            os.close(theirs)
            self.outputs = [os.dup(ours)]
        else:
            self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=subprocess.PIPE, **more)
            self.input = os.dup(self.process.stdin.fileno())
            self.process.stdin.close()
            self.outputs = [os.dup(self.process.stdout.fileno()),
                            os.dup(self.process.stderr.fileno())]
            self.process.stdout.close()
            self.process.stderr.close()
        descriptors, self.outputs = self.outputs, [Output() for _ in self.outputs]
        for output, fd in zip(self.outputs, descriptors):
            in_thread(output.fill, fd)

    def take(self, offset, data):
        """Once, however often it comes. Gives how much it has had."""
        with self.taking:
            view = memoryview(data)[max(0, self.taken - offset):]
            try:
                while view and self.input is not None:
                    size = os.write(self.input, view)
                    view, self.taken = view[size:], self.taken + size
            except OSError:
                self.close_input()
            return max(self.taken, offset + len(data)) if self.input is None else self.taken

    def resize(self, rows, columns):
        if self.tty and rows and columns:
            fcntl.ioctl(self.input, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def signal(self, number):
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def close_input(self):
        if self.input is not None and not self.tty:
            os.close(self.input)
            self.input = None


def take_terminal():
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # where the tests run in the background it is ignored
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
