"""What an SSH login may ask for: sessions, files, connections."""

import contextlib
import os
import random
import re
import select
import signal
import socket
import subprocess
import threading
import unittest

from login_fixture import TIMEOUT, LoginTest, run_paramiko, unread, wait_until


class SessionsTest(LoginTest):
    """What a session may ask for."""

    def test_signals_come_to_the_session_and_its_end_names_its_own(self):
        killed = self.ssh("-v", "fake", "kill -SEGV $$")
        self.assertEqual(killed.returncode, 255)
        self.assertIn(b"rtype exit-signal", killed.stderr)
        run_paramiko(self, self.agent, """
channel = transport.open_session(timeout=30)
channel.exec_command("trap 'echo caught; exit 9' USR1; echo ready; while :; do sleep 0.1; done")
assert channel.recv(100) == b'ready\\n'
request(channel, 'signal', 'USR1')
print(channel.recv(100).decode(), end='')
print(channel.recv_exit_status())
""", "caught\n9\n")

    def test_a_break_interrupts_what_runs_in_a_terminal(self):
        run_paramiko(self, self.agent, """
channel = transport.open_session(timeout=30)
channel.get_pty()
channel.exec_command("trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.1; done")
assert b'ready' in channel.recv(100)
request(channel, 'break', 500)
print(channel.recv_exit_status())
""", "3\n")

    def test_a_session_that_is_left_while_it_starts_is_hung_up_on(self):
        closed, heard = (os.path.join(self.scratch, name) for name in ("closed", "heard"))
        self.agent.answers.clear()
        self.agent.starting = 3

        def answer():
            wait_until(self, "a closed channel", lambda: os.path.exists(closed))
            self.agent.answers.set()
            wait_until(self, "a signal", lambda: self.agent.signals)
            with open(heard, "w", encoding="ascii"):
                pass

        thread = threading.Thread(target=answer)
        thread.start()
        run_paramiko(self, self.agent, f"""
import os, time
channel = transport.open_session(timeout=30)
request(channel, 'exec', 'sleep 1000')
channel.close()
transport.open_session(timeout=30)
open({closed!r}, 'w').close()
for i in range(3000):
    if os.path.exists({heard!r}):
        print('heard')
        break
    time.sleep(0.01)
""", "heard\n")
        thread.join()
        self.assertEqual([number for _, number in self.agent.signals], [signal.SIGHUP])

    def test_a_client_that_goes_while_its_session_starts_hangs_up_on_it(self):
        self.agent.answers.clear()
        self.agent.starting = 3
        client = subprocess.Popen(["ssh", "-F", self.agent.config, "fake", "sleep 1000"],
                                  stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.addCleanup(client.stdin.close)
        wait_until(self, "a session", lambda: any(
            session.process for session in list(self.agent.sessions.values())))
        client.kill()
        client.wait()
        self.agent.answers.set()
        wait_until(self, "a signal", lambda: self.agent.signals)
        self.assertEqual([number for _, number in self.agent.signals], [signal.SIGHUP])

    def test_the_clients_terminal_modes_go_with_the_session(self):
        modes = b"\x03\0\0\0\x08\x2a\0\0\0\x01\0"
        run_paramiko(self, self.agent, f"""
channel = transport.open_session(timeout=30)
request(channel, 'pty-req', 'vt100', 80, 24, 0, 0, {modes!r})
channel.exec_command('echo $TERM; stty size')
print(channel.recv_exit_status())
""", "0\n")
        session, = [one for one in self.agent.sessions.values() if one.process]
        self.assertTrue(session.tty)
        self.assertEqual(session.modes, modes)

    def test_variables_are_taken_by_a_list(self):
        result = self.ssh("-o", "SetEnv=LC_ALL=C.UTF-8 LD_PRELOAD=/x TZ=UTC", "fake",
                          "echo $LC_ALL,$LD_PRELOAD,$TZ")
        self.assertEqual(result.stdout, b"C.UTF-8,,UTC\n")

    def test_commands_are_bytes_and_variables_are_text(self):
        result = self.ssh("fake", b"printf 'caf\\351 \xe9' | od -An -tx1")
        self.assertEqual((result.returncode, result.stdout), (0, b" 63 61 66 e9 20 e9\n"), result.stderr)
        run_paramiko(self, self.agent, """
channel = transport.open_session(timeout=30)
request(channel, 'env', 'LC_ODD', b'caf\\xe9')
request(channel, 'env', 'LC_EVEN', 'caf\u00e9')
channel.exec_command('echo $LC_ODD,$LC_EVEN')
print(channel.recv(100).decode(), end='')
""", ",caf\u00e9\n")

    def test_keepalives_are_answered(self):
        result = self.ssh("-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=1", "fake",
                          "sleep 3.5; echo alive")
        self.assertEqual((result.returncode, result.stdout), (0, b"alive\n"), result.stderr)

    def test_files_go_in_and_out_by_sftp(self):
        source = os.path.join(self.scratch, "source")
        with open(source, "wb") as file:
            file.write(os.urandom(3 << 20))
        script = f"put {source} {source}.there\nget {source}.there {source}.back\n"
        done = self.ssh("-b", "-", "fake", stdin=script.encode(), program="sftp")
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(source, "rb") as one, open(source + ".back", "rb") as other:
            self.assertEqual(one.read(), other.read())


class ForwardTest(LoginTest):
    """Connections into the container's network."""

    def setUp(self):
        super().setUp()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.server.close)
        self.port = self.server.getsockname()[1]

    def connected(self, master, host):
        """The socket of somebody who connects to this host and port."""
        path = os.path.join(self.scratch, f"forward{random.randrange(1 << 30)}")
        done = self.ssh("-S", master, "-O", "forward", "-L", f"{path}:{host}:{self.port}", "fake")
        self.assertEqual(done.returncode, 0, done.stderr)
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        client.settimeout(TIMEOUT)
        client.connect(path)
        return client

    def through(self, master, host):
        """The first line of somebody who connects to this host and port."""
        with self.connected(master, host) as client:
            client.sendall(b"asked\n")
            with contextlib.suppress(ConnectionResetError):
                return client.recv(100)

    def answer_once(self):
        peer, _ = self.server.accept()
        with peer:
            peer.sendall(b"heard " + peer.recv(100))

    def test_addresses_and_names_are_connected_to(self):
        master = self.master()
        for host in ("127.0.0.1", "localhost", socket.gethostname()):
            if host not in ("127.0.0.1", "localhost"):
                with open("/etc/hosts", encoding="utf-8") as file:
                    if not re.search(rf"(?m)^127\.0\.0\.1\s.*\b{re.escape(host)}\b", file.read()):
                        continue
            thread = threading.Thread(target=self.answer_once)
            thread.start()
            self.assertEqual(self.through(master, host), b"heard asked\n", host)
            thread.join()

    def test_an_answer_that_came_before_a_refusal_of_more_arrives(self):
        answer = os.urandom(50000)
        master = self.master()
        with self.connected(master, "127.0.0.1") as client:
            peer, _ = self.server.accept()
            client.setblocking(False)
            wait_until(self, "more than anybody takes", lambda: self.is_stuck(client))
            login = self.agent.logins[0]
            login.send_signal(signal.SIGSTOP)
            peer.sendall(answer)
            wait_until(self, "an answer that is there", lambda: unread(peer) == 0)
            peer.close()  # what it has not read makes this a reset
            login.send_signal(signal.SIGCONT)
            client.settimeout(TIMEOUT)
            got = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := client.recv(65536):
                    got += piece
        self.assertEqual(got == answer, True, f"{len(got)} bytes")
        self.assertEqual(self.ssh("-S", master, "fake", "echo on").stdout, b"on\n")

    @staticmethod
    def is_stuck(client):
        """Nothing of what it sends gets on, as far as can be seen."""
        for _ in range(10):
            with contextlib.suppress(BlockingIOError):
                client.send(bytes(65536))
                return False
            select.select([], [], [], 0.02)
        return True

    def test_a_name_that_nobody_knows_is_refused_and_holds_nobody_up(self):
        master = self.master()
        self.assertIn(self.through(master, "no.such.host.invalid"), (b"", None))
        self.assertEqual(self.ssh("-S", master, "fake", "echo on").stdout, b"on\n")


if __name__ == "__main__":
    unittest.main()
