"""What a login refuses, its sessions do not notice."""

import contextlib
import os
import socket
import subprocess
import unittest

from fake_agent import REFUSED
from login_fixture import TIMEOUT, LoginTest, run_paramiko, wait_until


class RefusedTest(LoginTest):
    def setUp(self):
        super().setUp()
        # The sessions of this test have its environment.
        for name in ("SSH_AUTH_SOCK", "DISPLAY"):
            if name in os.environ:
                self.addCleanup(os.environ.__setitem__, name, os.environ.pop(name))

    def start_agent(self):
        """Somebody's keys; gives the path of its socket."""
        path = os.path.join(self.scratch, "agent")
        agent = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL)
        self.addCleanup(agent.wait)
        self.addCleanup(agent.kill)
        wait_until(self, "an agent's socket", lambda: os.path.exists(path))
        return path

    def test_openssh_hears_of_it_and_its_command_runs_on(self):
        local = os.path.join(self.scratch, "local")
        asked = ["-R", "0:127.0.0.1:1", "-R", f"{self.scratch}/there:127.0.0.1:1", "-A", "-Y",
                 "-L", f"{local}:{self.agent.directory}/some.socket"]
        client = subprocess.Popen(
            ["ssh", "-F", self.agent.config, *asked, "fake",
             "echo agent ${SSH_AUTH_SOCK-none}, display ${DISPLAY-none}; exec cat"],
            env={**os.environ, "SSH_AUTH_SOCK": self.start_agent(), "DISPLAY": ":9"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        self.assertEqual(client.stdout.readline(), b"agent none, display none\n")
        with socket.socket(socket.AF_UNIX) as through:
            through.settimeout(TIMEOUT)
            through.connect(local)
            with contextlib.suppress(ConnectionError):
                through.sendall(b"hello")
                self.assertEqual(through.recv(100), b"")
        out, said = client.communicate(b"still the same", timeout=TIMEOUT)
        self.assertEqual((client.returncode, out), (0, b"still the same"), said)
        for words in (b"remote port forwarding failed for listen port 0",
                      b"remote port forwarding failed for listen path",
                      b"X11 forwarding request failed on channel", b"open failed"):
            self.assertIn(words, said)
        self.assertEqual(self.news(REFUSED), [])

    def test_each_request_has_its_answer_and_none_is_granted(self):
        run_paramiko(self, self.agent, """
import queue
answers = queue.Queue()
table = transport._channel_handler_table
for kind, word in ((paramiko.common.MSG_CHANNEL_SUCCESS, 'granted'), (paramiko.common.MSG_CHANNEL_FAILURE, 'refused')):
    table[kind] = lambda channel, message, word=word: answers.put(word)
def ask(channel, what, *words):
    message = paramiko.Message()
    message.add_byte(b'\\x62')
    message.add_int(channel.remote_chanid)
    message.add_string(what)
    message.add_boolean(True)
    for word in words:
        message._add(word)
    transport._send_user_message(message)
    return answers.get(timeout=30)
channel = transport.open_session(timeout=30)
for what, *words in (('auth-agent-req@openssh.com',), ('x11-req', False, 'MIT-MAGIC-COOKIE-1', '00', 0),
                     ('no-such-request',)):
    print(what, ask(channel, what, *words))
for what, *words in (('tcpip-forward', '', 0), ('tcpip-forward', '127.0.0.1', 8000),
                     ('cancel-tcpip-forward', '', 8000), ('streamlocal-forward@openssh.com', '/tmp/x'),
                     ('no-such-request',)):
    answer = transport.global_request(what, words)
    print(what, 'refused' if answer is None else 'granted')
for kind in ('direct-streamlocal@openssh.com', 'forwarded-tcpip', 'x11', 'auth-agent@openssh.com', 'tun@openssh.com'):
    try:
        transport.open_channel(kind, ('127.0.0.1', 1), ('127.0.0.1', 1), timeout=30)
        print(kind, 'granted')
    except paramiko.ChannelException:
        print(kind, 'refused')
print('exec', ask(channel, 'exec', 'cat'))
channel.sendall(b'on')
channel.shutdown_write()
print(channel.recv(100).decode(), channel.recv_exit_status())
""", """auth-agent-req@openssh.com refused
x11-req refused
no-such-request refused
tcpip-forward refused
tcpip-forward refused
cancel-tcpip-forward refused
streamlocal-forward@openssh.com refused
no-such-request refused
direct-streamlocal@openssh.com refused
forwarded-tcpip refused
x11 refused
auth-agent@openssh.com refused
tun@openssh.com refused
exec granted
on 0
""")
        self.assertEqual(self.news(REFUSED), [])


if __name__ == "__main__":
    unittest.main()
