"""How channels of the SSH server and its logins end."""

import signal
import unittest

from login_fixture import TIMEOUT, HeldLine, LoginTest, Paramiko, wait_until


class LoginEndTest(LoginTest):

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
        wait_until(self, "output that waits for the client",
                   lambda: list(self.agent.sessions.values())[-1].outputs[0].start > 8192)
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


if __name__ == "__main__":
    unittest.main()
