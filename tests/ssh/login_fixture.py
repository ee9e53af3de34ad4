"""For tests of the SSH server without a machine: see fake_agent.py."""

import os
import random
import select
import subprocess
import tempfile
import time
import unittest

from fake_agent import FakeAgent

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


class LoginTest(unittest.TestCase):
    line = None
    with_link = False

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="tether-ssh-")
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name
        agent = FakeAgent(PROGRAM, self.scratch, line=self.line, with_link=self.with_link)
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


def run_paramiko(test, agent, script, wanted, user="root", key=None):
    """Runs the script with Debian's Paramiko, `transport` being logged in."""
    begin = f"""
import logging, paramiko, socket
logging.getLogger('paramiko').addHandler(logging.NullHandler())
transport = paramiko.Transport(socket.create_connection(('127.0.0.1', {agent.port})))
transport.connect(username={user!r}, pkey=paramiko.Ed25519Key.from_private_key_file({key or agent.key!r}))
"""
    done = subprocess.run(["/usr/bin/python3", "-c", begin + script + "\ntransport.close()\n"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=TIMEOUT, check=False)
    test.assertEqual(done.stdout.decode(), wanted, done.stderr.decode()[-2000:])
