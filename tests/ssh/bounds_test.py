"""What a login holds at most, whatever its client and its sessions do."""

import hashlib
import os
import re
import resource
import select
import signal
import threading
import unittest

from fake_agent import REFUSED
from login_fixture import FULL, TIMEOUT, HeldLine, LoginTest, Paramiko, unread, wait_until

MANY = 100 if FULL else 40
LINES = 600000
MOST = 64 << 20  # bytes of data of a login process
FULL_SOCKET = 100000  # bytes
LOOKS = 40  # at a twentieth of a second each


def memory(process, what="VmData"):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        return int(re.search(rf"{what}:\s+(\d+) kB", file.read()).group(1)) << 10


def ticks(process):
    """Of the processor's time that it has had."""
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
        return sum(map(int, file.read().rpartition(")")[2].split()[11:13]))


class BoundsTest(LoginTest):

    def sessions(self, count):
        """So many of them, which have stopped themselves."""
        wait_until(self, "sessions", lambda: len(self.agent.sessions) > count)  # beside that which looks for the user
        found = [session for session in list(self.agent.sessions.values()) if session.process is not None]
        for session in found:
            wait_until(self, "a session that waits", lambda pid=session.process.pid: self.state(pid) == "T")
        return found

    @staticmethod
    def state(pid):
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0]

    @staticmethod
    def go_on(sessions):
        for session in sessions:
            os.killpg(session.process.pid, signal.SIGCONT)

    def test_output_of_many_sessions_is_not_held_for_a_client_that_stands_still(self):
        wanted = b"".join(b"%d\n" % i for i in range(1, LINES + 1))
        master = self.master()
        pid = int(re.search(rb"pid=(\d+)", self.ssh("-S", master, "-O", "check", "fake").stderr).group(1))
        running = [self.shared(master, f"kill -STOP $$; seq {LINES}") for _ in range(MANY)]
        sessions = self.sessions(MANY)
        os.kill(pid, signal.SIGSTOP)
        self.go_on(sessions)
        for session in sessions:
            output = session.outputs[0]
            wait_until(self, "output that nobody takes", lambda held=output: len(held.data) >= held.MOST)
        login = self.agent.logins[0]
        self.assertLess(memory(login), MOST)
        os.kill(pid, signal.SIGCONT)
        outputs = [b""] * MANY

        def read(i):
            outputs[i] = running[i].stdout.read()

        readers = [threading.Thread(target=read, args=(i,)) for i in range(MANY)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        self.assertEqual([output == wanted for output in outputs], [True] * MANY)
        self.assertEqual([process.wait(TIMEOUT) for process in running], [0] * MANY)
        self.assertLess(memory(login, "VmPeak"), 256 << 20)

    def test_a_window_without_end_has_nothing_held_for_a_client_that_stands_still(self):
        line = HeldLine(self, self.agent)
        client = Paramiko(self, self.agent, """
channel = transport.open_session(window_size=1 << 30, timeout=30)
channel.exec_command('kill -STOP $$; head -c 50000000 /dev/zero')
others = [transport.open_session(timeout=30) for i in range(50)]
tell('ready')
for i, other in enumerate(others):
    message(98, other.remote_chanid, 'exec', False, f'touch done{i}')
tell('asked')
size = 0
while data := channel.recv(1 << 20):
    size += len(data)
tell(str(size))
""", port=line.port)
        client.hears("ready")
        line.hold("down")
        self.go_on(self.sessions(1))
        client.says()
        client.hears("asked")
        for i in range(50):  # Each of them takes some turns of the login, which is not held up.
            path = os.path.join(self.scratch, f"done{i}")
            wait_until(self, "another session", lambda there=path: os.path.exists(there))
        self.assertLess(memory(line.login), 16 << 20)
        line.hold("down", False)
        client.says()
        client.hears("50000000")
        client.says()

    def test_a_login_whose_client_stands_still_sleeps_behind_another_link_process(self):
        line = HeldLine(self, self.agent)
        client = Paramiko(self, self.agent, f"""
import hashlib
channel = transport.open_session(timeout=30)
channel.exec_command('kill -STOP $$; seq {LINES}')
tell('ready')
whole = hashlib.sha256()
while data := channel.recv(1 << 20):
    whole.update(data)
tell(whole.hexdigest())
""", port=line.port)
        client.hears("ready")
        session, = self.sessions(1)
        line.hold("down")
        self.go_on([session])
        wait_until(self, "output that the login has no room for", lambda: (
            self.state(line.login.pid) == "S" and any(unread(sock) > FULL_SOCKET for sock in list(self.agent.served))))
        self.agent.replace()
        before = ticks(line.login)
        for _ in range(LOOKS):
            select.select([], [], [], 0.05)
        self.assertLess(ticks(line.login) - before, LOOKS // 4)
        line.hold("down", False)
        client.says()
        client.hears(hashlib.sha256(b"".join(b"%d\n" % i for i in range(1, LINES + 1))).hexdigest())
        client.says()

    def test_a_client_that_asks_and_never_reads_is_sent_away(self):
        line = HeldLine(self, self.agent)
        client = Paramiko(self, self.agent, """
tell('ready')
for i in range(45000):
    message(80, 'keepalive@openssh.com', True)
tell('asked')
""", port=line.port)
        client.hears("ready")
        line.hold("down")
        client.says()
        wait_until(self, "a reason", lambda: any(
            text.startswith("user root: the client does not read") for text in self.news(REFUSED)))
        self.assertEqual(line.login.wait(TIMEOUT), 0)

    def test_input_that_many_sessions_do_not_read_is_held_within_bounds(self):
        client = Paramiko(self, self.agent, f"""
channels = [transport.open_session(timeout=30) for i in range({MANY})]
for channel in channels:
    channel.exec_command('kill -STOP $$; wc -c')
    channel.setblocking(False)
sent = [0] * len(channels)
idle = 0
while idle < 5:
    before = sum(sent)
    for i, channel in enumerate(channels):
        try:
            while True:
                sent[i] += channel.send(bytes(32768))
        except socket.timeout:
            pass
    transport.global_request('keepalive@openssh.com', wait=True)  # There may be more windows now.
    idle = 0 if sum(sent) > before else idle + 1
tell('sent')
for channel in channels:
    channel.setblocking(True)
    channel.shutdown_write()
print([int(channel.makefile().read()) for channel in channels] == sent)
""")
        client.hears("sent")
        self.assertLess(memory(self.agent.logins[0]), MOST)
        self.go_on(self.sessions(MANY))
        client.says()
        client.hears("True")

    def test_a_login_without_memory_ends_with_a_reason(self):
        client = Paramiko(self, self.agent, """
channel = transport.open_session(timeout=30)
channel.exec_command('exec sleep 1000')
tell('ready')
try:
    channel.sendall(bytes(4 << 20))
except (socket.error, EOFError):
    pass
""")
        client.hears("ready")
        login = self.agent.logins[0]
        most = memory(login, "VmSize") + (1 << 20)
        resource.prlimit(login.pid, resource.RLIMIT_AS, (most, most))
        client.says()
        wait_until(self, "a reason", lambda: any(
            re.search("Out of memory|bad_alloc", text) for text in self.news(REFUSED)))
        self.assertEqual(login.wait(TIMEOUT), 0)


if __name__ == "__main__":
    unittest.main()
