"""What is before a login: how long it may take, which algorithms there are, and who stands in the middle."""

import json
import subprocess
import unittest

from fake_agent import LOGGED_IN, REFUSED
from login_fixture import TIMEOUT, LoginTest, run_paramiko, wait_until
from packets import KEXINIT, NEWKEYS, NOTHING, UP, Packets

KEX_ECDH_INIT = 30


def processor_has(*flags):
    with open("/proc/cpuinfo", encoding="ascii") as file:
        return set(flags) <= set(file.read().split())


HAS_GCM = processor_has("aes", "pclmulqdq")  # where it has not, AES-GCM is not offered


class DeadlineTest(LoginTest):
    deadline = 5  # seconds; a machine's is kSshLoginSeconds

    def test_who_does_not_log_in_is_sent_away_whatever_he_does_meanwhile(self):
        run_paramiko(self, self.agent, """
import contextlib, time
silent = dial()
chatter, stranger = (paramiko.Transport(dial()) for _ in range(2))
chatter.start_client(timeout=30)
stranger.start_client(timeout=30)
try:
    stranger.auth_publickey('nobody', own_key)
except paramiko.AuthenticationException:
    pass
with contextlib.suppress(EOFError, OSError, paramiko.SSHException):
    while chatter.is_active():
        chatter.send_ignore()
        time.sleep(0.1)
stranger.join(30)
silent.settimeout(30)
while silent.recv(4096):
    pass
print(chatter.is_active(), stranger.is_active())
""", "False False\n", log_in=False)
        wait_until(self, "three reasons", lambda: self.news(REFUSED) == [
            f"nobody logged in within {self.deadline} s"] * 3)
        self.assert_all_gone()

    def test_who_has_logged_in_has_all_the_time_that_he_wants(self):
        result = self.ssh("fake", f"sleep {self.deadline + 1}; echo on")
        self.assertEqual((result.returncode, result.stdout), (0, b"on\n"), result.stderr)
        self.assertEqual(self.news(REFUSED), [])


class AlgorithmsTest(LoginTest):
    KEX = ["curve25519-sha256", "curve25519-sha256@libssh.org", "kex-strict-s-v00@openssh.com"]
    CIPHERS = ["chacha20-poly1305@openssh.com",
               *(["aes256-gcm@openssh.com", "aes128-gcm@openssh.com"] if HAS_GCM else []),
               "aes256-ctr", "aes128-ctr"]
    MACS = ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com"]
    # It does not know the mark of strict key exchange, which is no algorithm.
    WARNED = ["kex-strict-s-v00@openssh.com"]

    def audit(self, *words):
        return subprocess.run(["ssh-audit", "-t", "30", *words, "-p", str(self.agent.port), "127.0.0.1"],
                              stdout=subprocess.PIPE, timeout=TIMEOUT, check=False).stdout.decode()

    def test_those_of_the_documentation_are_offered_and_no_others(self):
        found = json.loads(self.audit("-j"))
        self.assertEqual([one["algorithm"] for one in found["kex"]], self.KEX)
        self.assertEqual([one["algorithm"] for one in found["key"]], ["ssh-ed25519"])
        self.assertEqual(found["enc"], self.CIPHERS)
        self.assertEqual(found["mac"], self.MACS)
        self.assertEqual(found["compression"], ["none"])

    def test_they_are_sound(self):
        text = self.audit("-n")
        self.assertIn("(kex) curve25519-sha256 ", text)
        self.assertNotIn("[fail]", text)
        warned = [line.split()[1] for line in text.splitlines() if "[warn]" in line]
        self.assertEqual(warned, self.WARNED, text)


class LinkAlgorithmsTest(AlgorithmsTest):
    """Where there is a link's key: libssh2 1.10, which the host's end is, has no encrypt-then-MAC."""
    with_link = True
    MACS = [*AlgorithmsTest.MACS, "hmac-sha2-256"]
    WARNED = [*AlgorithmsTest.WARNED, "hmac-sha2-256"]


class StrictKeyExchangeTest(LoginTest):
    """CVE-2023-48795: a packet of no meaning, put in before the keys, lets a later one be left out unseen."""
    STRICT = "key exchange: Received unexpected packets in strict KEX mode."

    def test_a_packet_that_is_put_in_before_the_keys_ends_it(self):
        # AES-GCM would not notice: it does not count the packets from the first on.
        for cipher in ("chacha20-poly1305@openssh.com", *(["aes128-gcm@openssh.com"] if HAS_GCM else [])):
            for place in (KEXINIT, KEX_ECDH_INIT, NEWKEYS):
                with self.subTest(f"{cipher}, before {place}"):
                    put_in = []

                    def change(direction, kind, payload, place=place, put_in=put_in):
                        if direction != UP or kind != place:
                            return [payload]
                        put_in.append(kind)
                        return [NOTHING, payload]
                    self.agent.editor = lambda change=change: Packets(change)
                    self.agent.news.clear()
                    result = self.ssh("-c", cipher, "fake", "echo in")
                    self.assertEqual((result.returncode, result.stdout), (255, b""), result.stderr)
                    self.assertEqual(put_in, [place])
                    wait_until(self, "the reason", lambda: self.news(REFUSED) == [self.STRICT])
                    self.assertEqual(self.news(LOGGED_IN), [])

    def test_the_editor_itself_changes_nothing(self):
        self.agent.editor = lambda: Packets(lambda direction, kind, payload: [payload])
        result = self.ssh("fake", "echo in")
        self.assertEqual((result.returncode, result.stdout), (0, b"in\n"), result.stderr)

    def say_nothing_before_the_keys(self, kex, wanted):
        """A client's own packet of no meaning, as RFC 4253 lets it."""
        run_paramiko(self, self.agent, f"""
class Client(paramiko.Transport):
    _preferred_kex = {kex!r}
    def _activate_outbound(self):
        message = paramiko.Message()
        message.add_bytes({NOTHING!r})
        self._send_message(message)
        super()._activate_outbound()
transport = Client(dial())
try:
    transport.connect(username='root', pkey=own_key)
    print('in')
except (EOFError, OSError, paramiko.SSHException):
    print('out')
transport.close()
""", wanted, log_in=False)

    def test_only_who_asks_for_it_is_held_to_it(self):
        self.say_nothing_before_the_keys(("curve25519-sha256@libssh.org",), "in\n")
        self.assertEqual(self.news(REFUSED), [])
        self.say_nothing_before_the_keys(
            ("curve25519-sha256@libssh.org", "kex-strict-c-v00@openssh.com"), "out\n")
        wait_until(self, "the reason", lambda: self.news(REFUSED) == [self.STRICT])


if __name__ == "__main__":
    unittest.main()
