"""How channels of the SSH server and its logins end."""

import os
import signal
import socket
import unittest

from login_fixture import TIMEOUT, HeldLine, LoginTest, Paramiko, run_paramiko, wait_until


class LoginEndTest(LoginTest):
    taken, looks = 0, 0

    def stands_still(self):
        """The login takes no more output of its session, as its line is full."""
        before, self.taken = self.taken, self.session().outputs[0].start
        self.looks = self.looks + 1 if 0 < self.taken == before else 0
        return self.looks == 10

    def test_channels_that_are_opened_while_a_login_ends_are_no_harm(self):
        # What the process frees is not what it was any more, wherever it is used again.
        self.agent.env = {"MALLOC_PERTURB_": "165", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
        line = HeldLine(self, self.agent)
        client = Paramiko(self, self.agent, """
channel = transport.open_session(timeout=30)
channel.exec_command('read x; head -c 200000 /dev/zero; sleep 1000')
tell('ready')
channel.sendall(b'x\\n')
tell('begun')
message(98, channel.remote_chanid, 'signal', False, 'USR1')
for i in range(4):
    transport.send_ignore(32000)
for i in range(200):
    message(90, 'session', 1000 + i, 1000, 30000)
tell('said')
""", port=line.port)
        client.hears("ready")
        line.hold("down")
        client.says()
        client.hears("begun")
        wait_until(self, "output that waits for the client", self.stands_still)
        line.hold("up")
        client.says()
        client.hears("said")
        wait_until(self, "all that was said", lambda: len(line.waiting) > 4 * 32000 + 200 * 48)
        line.login.send_signal(signal.SIGSTOP)
        self.agent.leave()
        line.hold("up", False)
        wait_until(self, "all that was said on its way", lambda: not line.waiting)
        line.login.send_signal(signal.SIGCONT)
        self.assertEqual(line.login.wait(TIMEOUT), 0)


class ClientsCloseTest(LoginTest):
    """A client that has said what it had to say closes its channel, and perhaps goes."""

    def stopped(self, script, data):
        """A login that finds all of the script's second half, the close too, at once."""
        path = os.path.join(self.scratch, "data")
        with open(path, "wb") as file:
            file.write(data)
        line = HeldLine(self, self.agent)
        before, after = script.split("---\n")
        client = Paramiko(self, self.agent, f"data = open({path!r}, 'rb').read()\n{before}\n"
                          f"tell('ready')\n{after}\ntell('said')\n", port=line.port)
        client.hears("ready")
        line.hold("up")
        client.says()
        client.hears("said")
        wait_until(self, "all that was said", lambda: len(line.waiting) > len(data))
        return line, client

    def read(self, name):
        with open(os.path.join(self.scratch, name), "rb") as file:
            return file.read()

    def test_what_was_sent_before_a_session_is_closed_comes_to_it(self):
        for leaves in (False, True):
            self.agent.sessions.clear()
            data = os.urandom(30000)
            line, client = self.stopped("""
channel = transport.open_session(timeout=30)
channel.exec_command('cat >got')
---
channel.sendall(data)
channel.close()
""", data)
            if leaves:
                client.says()
                client.process.wait(TIMEOUT)
            line.hold("up", False)
            # Not hung up on: it has ended by itself.
            self.assertEqual(self.session().process.wait(TIMEOUT), 0, f"leaves: {leaves}")
            self.assertEqual(self.read("got"), data)
            if not leaves:
                client.says()
            self.assertEqual(line.login.wait(TIMEOUT), 0)

    def test_a_session_that_begins_to_read_after_its_close_gets_all(self):
        # More than the process takes of the library before the session does.
        run_paramiko(self, self.agent, """
channel = transport.open_session(timeout=30)
channel.exec_command('until [ -e go ]; do sleep 0.02; done; cat >got')
channel.sendall(bytes(1000000))
channel.close()
""", "")
        with open(os.path.join(self.scratch, "go"), "w", encoding="ascii"):
            pass
        self.assertEqual(self.session().process.wait(TIMEOUT), 0)
        self.assertEqual(self.read("got"), bytes(1000000))

    def test_a_session_is_hung_up_on_once_it_has_its_input(self):
        line, client = self.stopped("""
channel = transport.open_session(timeout=30)
channel.exec_command("trap 'echo end >>got; exit 3' HUP; cat >got; while :; do sleep 0.1; done")
---
channel.sendall(data)
channel.close()
""", b"words\n")
        line.hold("up", False)
        self.assertEqual(self.session().process.wait(TIMEOUT), 3)
        self.assertEqual(self.read("got"), b"words\nend\n")
        client.says()

    def test_a_session_that_does_not_read_is_hung_up_on_all_the_same(self):
        run_paramiko(self, self.agent, """
channel = transport.open_session(timeout=30)
channel.exec_command('exec sleep 1000')
channel.sendall(bytes(1000000))
channel.close()
""", "")
        self.assertEqual(self.session().process.wait(TIMEOUT), -signal.SIGHUP)
        self.assert_all_gone()

    def test_what_was_sent_before_a_connection_is_closed_comes_to_its_end(self):
        for leaves in (False, True):
            data = os.urandom(30000)
            with socket.create_server(("127.0.0.1", 0)) as server:
                line, client = self.stopped(f"""
channel = transport.open_channel('direct-tcpip', {server.getsockname()}, ('127.0.0.1', 1), timeout=30)
---
channel.sendall(data)
channel.close()
""", data)
                if leaves:
                    client.says()
                    client.process.wait(TIMEOUT)
                line.hold("up", False)
                server.settimeout(TIMEOUT)
                peer, _ = server.accept()
                peer.settimeout(TIMEOUT)
                with peer, peer.makefile("rb") as file:
                    self.assertEqual(file.read(), data, f"leaves: {leaves}")
                if not leaves:
                    client.says()
                self.assertEqual(line.login.wait(TIMEOUT), 0)


if __name__ == "__main__":
    unittest.main()
