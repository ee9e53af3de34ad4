"""For tests of the SSH server without a machine: see fake_agent.py."""

import contextlib
import fcntl
import os
import random
import select
import socket
import struct
import subprocess
import tempfile
import termios
import threading
import time
import unittest

from fake_agent import FakeAgent
from fake_session import in_thread

PROGRAM = os.path.join(os.environ["TETHER_BUILD"], "tests", "ssh_login")
FULL = os.environ.get("TETHER_FULL") == "1"
TIMEOUT = 60  # a bound for what hangs; no test waits for it


def wait_until(test, what, condition):
    deadline = time.monotonic() + TIMEOUT
    while not (found := condition()):
        if time.monotonic() > deadline:
            test.fail(f"never: {what}")
        select.select([], [], [], 0.02)
    return found


def unread(sock):
    """Bytes that its other end has not taken."""
    if sock.fileno() < 0:
        return 0
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]


class LoginTest(unittest.TestCase):
    line = None
    with_link = False
    deadline = None

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="tether-ssh-")
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name
        agent = FakeAgent(PROGRAM, self.scratch, line=self.line, with_link=self.with_link,
                          deadline=self.deadline)
        self.agent = agent.__enter__()
        self.addCleanup(agent.__exit__)

    def ssh(self, *words, stdin=b"", program="ssh"):
        return subprocess.run([program, "-F", self.agent.config, *words], input=stdin,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT,
                              check=False)

    def master(self, *words):
        """A login that others share; the path of its socket."""
        path = os.path.join(self.scratch, f"master{random.randrange(1 << 30)}")
        process = subprocess.Popen(
            ["ssh", "-F", self.agent.config, "-M", "-S", path, "-N", *words, "fake"],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_until(self, "a master's socket", lambda: os.path.exists(path))
        return path

    def shared(self, master, command):
        """A session of that login, and of no other."""
        client = subprocess.Popen(
            ["ssh", "-F", self.agent.config, "-o", "ProxyCommand=false", "-S", master, "fake", command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        return client

    def session(self):
        """The one there is, beside that which looked for the user."""
        return wait_until(self, "a session", lambda: next(
            (session for session in list(self.agent.sessions.values()) if session.process is not None), None))

    def news(self, kind):
        with self.agent.lock:
            return [text for what, text in self.agent.news if what == kind]

    def assert_all_gone(self):
        """No login process and no session is left."""
        wait_until(self, "the end of all logins",
                   lambda: all(process.poll() is not None for process in self.agent.logins))
        wait_until(self, "the end of all sessions", lambda: all(
            session.process is None or session.process.poll() is not None
            for session in list(self.agent.sessions.values())))


class HeldLine:
    """A client's way to a login of its own, of little room, that a test holds and lets go on."""

    def __init__(self, test, agent):
        self.held = {"up": False, "down": False}  # to the login; from it
        self.waiting, self.ended = bytearray(), False  # for the login
        self.changed = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.end, theirs = socket.socketpair()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.login = agent.serve(theirs)
        test.addCleanup(self.close)
        in_thread(self.accept)

    def accept(self):
        self.client, _ = self.listener.accept()
        in_thread(self.down)
        in_thread(self.up)
        while not self.ended:
            data = b""
            with contextlib.suppress(ConnectionResetError):  # it left without a look at what came
                data = self.client.recv(65536)
            with self.changed:
                self.waiting += data
                self.ended = not data
                self.changed.notify_all()

    def up(self):
        while True:
            with self.changed:
                self.changed.wait_for(lambda: (self.waiting or self.ended) and not self.held["up"])
                data = bytes(self.waiting)
            if not data:
                self.end.shutdown(socket.SHUT_WR)
                return
            self.end.sendall(data)
            with self.changed:
                del self.waiting[:len(data)]

    def down(self):
        while True:
            with self.changed:
                self.changed.wait_for(lambda: not self.held["down"])
            if select.select([self.end], [], [], 0.1)[0] and not self.held["down"]:
                data = self.end.recv(65536)
                if not data:
                    self.client.shutdown(socket.SHUT_RDWR)
                    return
                self.client.sendall(data)

    def hold(self, way, held=True):
        with self.changed:
            self.held[way] = held
            self.changed.notify_all()

    def close(self):
        with contextlib.suppress(OSError):
            self.end.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with contextlib.suppress(AttributeError):
            self.client.close()
        self.end.close()


def paramiko_script(agent, script, user="root", key=None, port=None, log_in=True):
    """The words of a program: Debian's Paramiko, `transport` being logged in unless it shall do that itself: with dial() and
    `own_key`. request() waits for no answer."""
    begin = f"""
import logging, os, paramiko, signal, socket
logging.getLogger('paramiko').addHandler(logging.NullHandler())
own_key = paramiko.Ed25519Key.from_private_key_file({key or agent.key!r})
def dial():
    return socket.create_connection(('127.0.0.1', {port or agent.port}))

def message(number, *parts):
    made = paramiko.Message()
    made.add_byte(bytes([number]))
    for part in parts:
        {{bool: made.add_boolean, int: made.add_int}}.get(type(part), made.add_string)(part)
    transport._send_user_message(made)

def tell(word):
    print(word, flush=True)
    assert input() == 'on'

def request(channel, name, *words):
    message(98, channel.remote_chanid, name, False, *words)

"""
    if log_in:
        begin += f"transport = paramiko.Transport(dial())\ntransport.connect(username={user!r}, pkey=own_key)\n"
        script += "\ntransport.close()\n"
    return ["/usr/bin/python3", "-c", begin + script]


def run_paramiko(test, agent, script, wanted, **which):
    """Runs the script with it, and looks at what it prints."""
    done = subprocess.run(paramiko_script(agent, script, **which),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=TIMEOUT, check=False)
    test.assertEqual(done.stdout.decode(), wanted, done.stderr.decode()[-2000:])


class Paramiko:
    """One that runs beside the test: what it tells (see above) is waited for by hears(), and says() lets it go on."""

    def __init__(self, test, agent, script, **which):
        self.test = test
        self.errors = open(os.path.join(test.scratch, f"errors{random.randrange(1 << 30)}"), "w+b")
        self.process = subprocess.Popen(paramiko_script(agent, script, **which), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors)
        for done in (self.errors.close, self.process.stdout.close, self.process.stdin.close,
                     self.process.wait, self.process.kill):
            test.addCleanup(done)

    def hears(self, word):
        ready = select.select([self.process.stdout], [], [], TIMEOUT)[0]
        line = self.process.stdout.readline().decode() if ready else "nothing"
        self.errors.seek(0)
        self.test.assertEqual(line, word + "\n", self.errors.read().decode()[-2000:])

    def says(self):
        self.process.stdin.write(b"on\n")
        self.process.stdin.flush()
