"""Who comes in by SSH, and what is said of it."""

import contextlib
import os
import socket
import subprocess
import unittest

from fake_agent import ENDED, LOGGED_IN, REFUSED
from fake_session import member
from login_fixture import LoginTest, run_paramiko, wait_until


# A FIDO key, made of RFC 8032's first Ed25519 key, and what signs as the token does that has it.
TOKEN = ("sk-ssh-ed25519@openssh.com "
         "AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYj"
         "Ja8CGmj3B1EaAAAABHNzaDo=")
TOKEN_SCRIPT = f"""
import base64, hashlib, struct
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
class Token(paramiko.PKey):
    public_blob = None
    def __init__(self, flags, more):
        seed = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60'
        self.key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
        self.flags, self.more = flags, more
    def get_name(self):
        return '{TOKEN.split()[0]}'
    def asbytes(self):
        return base64.b64decode('{TOKEN.split()[1]}')
    def sign_ssh_data(self, data, algorithm=None):
        signed = hashlib.sha256(b'ssh:').digest() + struct.pack('>BI', self.flags, 7)
        signed += hashlib.sha256(data + self.more).digest()
        message = paramiko.Message()
        message.add_string(self.get_name())
        message.add_string(self.key.sign(signed))
        message.add_byte(bytes([self.flags]))
        message.add_int(7)
        return message
"""


class DoorTest(LoginTest):
    """Who comes in, what he may ask for, and what is said of it."""

    def test_a_login_is_told_with_its_key_and_its_end(self):
        self.assertEqual(self.ssh("fake", "true").returncode, 0)
        wait_until(self, "an end", lambda: self.news(ENDED) == ["root"])
        self.assertRegex(self.news(LOGGED_IN)[0], r"^root, key SHA256:\S{43}$")
        self.assertEqual(self.news(REFUSED), [])

    def test_three_wrong_keys_are_the_last(self):
        words = []
        for i in range(6):
            key = os.path.join(self.scratch, f"other{i}")
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
            words += ["-i", key]
        with open(self.agent.config, encoding="ascii") as file:
            lines = [line for line in file if "IdentityFile" not in line]
        with open(self.agent.config, "w", encoding="ascii") as file:
            file.writelines(lines)
        result = self.ssh("-v", *words, "fake", "true")
        self.assertEqual(result.returncode, 255)
        self.assertLessEqual(result.stderr.count(b"Offering public key"), 4)
        wait_until(self, "a reason", lambda: any("is not authorized" in text
                                                 for text in self.news(REFUSED)))

    def test_a_key_of_a_kind_that_is_not_known_is_refused_and_the_next_one_taken(self):
        run_paramiko(self, self.agent, """
transport = paramiko.Transport(socket.create_connection(('127.0.0.1', transport.getpeername()[1])))
transport.auth_timeout = 30
transport.start_client()
for attempt in range(5):
    try:
        transport.auth_publickey('root', paramiko.DSSKey.generate(1024))
    except paramiko.AuthenticationException as refusal:
        print(type(refusal).__name__)
transport.auth_publickey('root', own_key)
print(transport.is_authenticated())
""", "AuthenticationException\n" * 5 + "True\n")

    def test_a_wrong_signature_is_refused_and_told(self):
        run_paramiko(self, self.agent, """
transport = paramiko.Transport(socket.create_connection(('127.0.0.1', transport.getpeername()[1])))
transport.auth_timeout = 30
transport.start_client()
sign = own_key.sign_ssh_data
own_key.sign_ssh_data = lambda data, algorithm: sign(data + b'x', algorithm)
try:
    transport.auth_publickey('root', own_key)
except paramiko.AuthenticationException as refusal:
    print(type(refusal).__name__)
""", "AuthenticationException\n")
        wait_until(self, "a reason", lambda: "user root: bad signature" in self.news(REFUSED))

    def test_a_fido_key_has_to_be_touched(self):
        with open(self.agent.key + ".pub", "rb") as own, open(self.agent.secrets, "ab") as secrets:
            secrets.write(member(3, own.read() + TOKEN.encode() + b" x\n"))
        run_paramiko(self, self.agent, TOKEN_SCRIPT + f"""
for flags, more in ((1, b''), (0, b''), (4, b''), (1, b'another')):
    other = paramiko.Transport(socket.create_connection(('127.0.0.1', {self.agent.port})))
    other.start_client(timeout=30)
    try:
        other.auth_publickey('root', Token(flags, more))
        print('in')
    except paramiko.AuthenticationException as error:
        print(error)
    other.close()
""", "in\n" + 3 * "Authentication failed.\n")
        untouched = r"^user root: key SHA256:\S{43} signed without a touch$"
        wait_until(self, "three reasons", lambda: len(self.news(REFUSED)) == 3)
        *first, last = sorted(self.news(REFUSED), key=len, reverse=True)
        self.assertEqual(last, "user root: bad signature")
        for text in first:
            self.assertRegex(text, untouched)

    def test_a_long_name_leaves_room_for_the_reason(self):
        key = os.path.join(self.scratch, "other")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        shown = subprocess.run(["ssh-keygen", "-lf", key], stdout=subprocess.PIPE, check=True)
        reason = f": key {shown.stdout.decode().split()[1]} is not authorized"
        for name, told in (("n" * 1000, "n" * 64), ("\u00e9" * 500, "\u00e9" * 32),
                           ("\1" * 500, "\\x01" * 16)):
            result = self.ssh("-F", "none", "-i", key, "-p", str(self.agent.port), "-l", name,
                              "-o", "HostKeyAlias=fake", "-o", f"UserKnownHostsFile={self.agent.directory}/known",
                              "127.0.0.1", "true")
            self.assertEqual(result.returncode, 255)
            wait_until(self, f"{told}, the whole reason, in {self.news(REFUSED)}",
                       lambda text=f"user {told}...{reason}": text in self.news(REFUSED))

    def test_the_reason_of_an_end_is_told_after_another_reason(self):
        run_paramiko(self, self.agent, """
channels, refused = [], 0
for i in range(130):
    try:
        channels.append(transport.open_session(timeout=30))
    except paramiko.SSHException:
        refused += 1
channel = channels[-1]
print(refused)
message = paramiko.Message()
message.add_byte(b'\\x5e')
message.add_int(channel.remote_chanid)
message.add_string(b'x' * 1000000)
try:
    transport._send_user_message(message)
except EOFError:  # the rest of it found nobody
    pass
transport.join(30)
""", "2\n")
        wait_until(self, "an end", lambda: self.news(ENDED))
        first, *others = self.news(REFUSED)
        self.assertEqual(first, "user root: more than 128 channels")
        self.assertRegex("".join(others), "^user root: .*too high")

    def test_more_channels_than_there_may_be_are_refused_with_one_event(self):
        run_paramiko(self, self.agent, """
channels = []
refused = 0
for i in range(1000):
    try:
        channels.append(transport.open_session(timeout=30))
    except paramiko.SSHException:
        refused += 1
print(len(channels), refused)
""", "128 872\n")
        self.assertEqual(self.news(REFUSED), ["user root: more than 128 channels"])

    def test_a_channel_whose_packets_have_no_room_for_anything_is_refused(self):
        run_paramiko(self, self.agent, """
transport._sanitize_packet_size = lambda size: size
def what_comes(size):
    try:
        channel = transport.open_session(max_packet_size=size, timeout=30)
    except paramiko.ChannelException as refusal:
        return refusal.code
    channel.settimeout(30)
    channel.exec_command('printf yes')
    return channel.recv(100).decode()
print(*(what_comes(size) for size in (0, 9, 10, 255, 256)))
""", "1 1 1 1 yes\n")

    def test_asking_for_the_control_plane_again_and_again_is_one_event(self):
        run_paramiko(self, self.agent, """
channel = transport.open_session(timeout=30)
for i in range(50):
    request(channel, 'subsystem', 'tether')
channel.exec_command('echo on')
print(channel.recv(100))
""", "b'on\\n'\n")
        wait_until(self, "an end", lambda: self.news(ENDED))
        self.assertEqual(self.news(REFUSED),
                         ["user root: the control plane is for the link's key alone"])

    def test_an_oversized_packet_ends_the_login_with_a_reason(self):
        run_paramiko(self, self.agent, """
import struct
channel = transport.open_session(timeout=30)
message = paramiko.Message()
message.add_byte(b'\\x5e')
message.add_int(channel.remote_chanid)
message.add_string(b'x' * 1000000)
try:
    transport._send_user_message(message)
except EOFError:  # the rest of it found nobody
    pass
transport.join(30)
print(transport.is_active())
""", "False\n")
        wait_until(self, "a reason", lambda: any(
            text.startswith("user root: ") and "too high" in text for text in self.news(REFUSED)))

    def test_a_client_that_ignores_its_window_is_sent_away(self):
        run_paramiko(self, self.agent, """
channel = transport.open_session(timeout=30)
channel.exec_command('sleep 1000')
piece = b'x' * 30000
try:
    for i in range(1000):
        message = paramiko.Message()
        message.add_byte(b'\\x5e')
        message.add_int(channel.remote_chanid)
        message.add_string(piece)
        transport._send_user_message(message)
except Exception:
    pass
transport.join(30)
print(transport.is_active())
""", "False\n")
        wait_until(self, "a reason",
                   lambda: "user root: sent more than its window" in self.news(REFUSED))

    def test_what_is_no_ssh_is_refused(self):
        for words in (b"GET / HTTP/1.0\r\n\r\n", b"SSH-2.0-x\r\n" + os.urandom(100000)):
            with socket.create_connection(("127.0.0.1", self.agent.port)) as connection:
                with contextlib.suppress(OSError):
                    connection.sendall(words)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(4096):
                        pass
        wait_until(self, "two reasons", lambda: len(self.news(REFUSED)) == 2)
        self.assert_all_gone()


class LinkTest(LoginTest):
    """The host end's login, for the control plane alone."""
    with_link = True

    def test_thousands_of_channels_of_a_link_login_are_refused_and_the_link_goes_on(self):
        run_paramiko(self, self.agent, """
def another(channels):
    try:
        channels.append(transport.open_session(timeout=30))
        return True
    except paramiko.SSHException:
        return False
link = transport.open_session(timeout=30)
link.invoke_subsystem('tether')
others = []
refused = sum(not another(others) for i in range(3000))
print(len(others), refused)
for channel in others:
    channel.invoke_subsystem('tether')
    channel.sendall(b'other')
    assert channel.recv(100) == b'other'
for i in range(100):
    link.sendall(b'still the same')
    assert link.recv(100) == b'still the same'
for channel in others:
    channel.close()
again = []
while len(again) < 127:  # The server's part of a close may take a moment.
    another(again)
""", "127 2873\n", user="vch", key=self.agent.link_key)
        self.assertEqual(self.news(REFUSED), ["user vch: more than 128 channels"])

    def test_what_a_link_login_may_not_ask_for_is_told_once_of_each_kind(self):
        run_paramiko(self, self.agent, """
other = transport.open_session(timeout=30)
for i in range(50):
    request(other, 'shell')
    request(other, 'exec', 'id')
    request(other, 'subsystem', 'sftp')
link = transport.open_session(timeout=30)
link.invoke_subsystem('tether')
request(link, 'subsystem', 'tether')
link.sendall(b'on')
print(link.recv(100))
""", "b'on'\n", user="vch", key=self.agent.link_key)
        wait_until(self, "an end", lambda: self.news(ENDED))
        self.assertEqual(self.news(REFUSED), [
            f"{what}: the link's key is for the subsystem tether alone"
            for what in ("a shell", "a command", "another subsystem", "a second subsystem")])


if __name__ == "__main__":
    unittest.main()
