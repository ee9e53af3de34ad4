"""The host's process of a secure link against the agent's login process, both as they are, on this host.

The test is the line between them, and does to it what a man in the middle could.
"""

import array
import fcntl
import hashlib
import os
import re
import socket
import struct
import subprocess
import tempfile
import threading
import unittest

from packets import DOWN, KEXINIT, NEWKEYS, NOTHING, UP, Packets

VCH, SSH_LOGIN = os.environ["VCH"], os.environ["SSH_LOGIN"]
TIMEOUT = 60  # a bound for what hangs; no test waits for it
REFUSED, LOGGED_IN, ENDED, SERVE_LINK = 3, 4, 5, 6


def make_key(path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    with open(path, encoding="ascii") as private, open(path + ".pub", encoding="ascii") as public:
        return private.read(), " ".join(public.read().split()[:2])


def member(number, text):
    data, size, length = text.encode(), len(text.encode()), b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


def read_to_end(sock):
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


class Line:
    """Joins two sockets. `edit(direction, bytes)` gives what is passed on instead, None: the line is cut."""

    def __init__(self, host, guest, edit):
        self.host, self.guest = host, guest
        self.edit = edit
        self.seen = {UP: b"", DOWN: b""}
        for way in ((host, guest, UP), (guest, host, DOWN)):  # neither waits for the other
            threading.Thread(target=self.run, args=way, daemon=True).start()

    def run(self, source, target, direction):
        passed = b""
        while passed is not None:
            try:
                target.sendall(passed)
                data = source.recv(65536)
            except OSError:
                data = b""
            self.seen[direction] += data
            passed = self.edit(direction, data) if data else None
        self.cut()

    def cut(self):
        for end in (self.host, self.guest):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # It is closed.


class SecureLinkTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="secure-link-")
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name
        self.machine_key, self.machine_public = make_key(os.path.join(self.scratch, "machine"))
        self.vch_key, self.vch_public = make_key(os.path.join(self.scratch, "vch"))
        self.news_came = threading.Condition()
        self.got_link = threading.Event()
        self.start_anew()

    def start_anew(self):
        self.news = []
        self.link = None
        self.got_link.clear()

    # -- the two processes ---------------------------------------------------------------------------------------

    def start_login(self, link_key=None):
        """The agent's; gives the other end of its wire."""
        secrets = os.path.join(self.scratch, "secrets")
        with open(secrets, "wb") as file:
            file.write(member(2, self.machine_key) + member(3, "") +
                       member(4, link_key or self.vch_public))
        wire, its_wire = socket.socketpair()
        requests, its_requests = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fds = (its_wire.fileno(), its_requests.fileno())
        login = subprocess.Popen([SSH_LOGIN, *map(str, fds), secrets], pass_fds=fds)
        self.addCleanup(self.end, login)
        for sock in (its_wire, its_requests):
            sock.close()
        for sock in (wire, requests):
            sock.settimeout(TIMEOUT)
            self.addCleanup(sock.close)
        threading.Thread(target=self.serve_requests, args=(requests,), daemon=True).start()
        return login, wire

    def serve_requests(self, requests):
        """What the link process does for it."""
        while True:
            try:
                data, extra, _, _ = requests.recvmsg(512, socket.CMSG_SPACE(4))
            except OSError:
                return
            if not data:
                return
            fds = array.array("i")
            for _, _, content in extra:
                fds.frombytes(content[:4])
            if data[0] == SERVE_LINK:
                self.link = socket.socket(fileno=fds[0])
                self.link.settimeout(TIMEOUT)
                self.addCleanup(self.link.close)
                self.got_link.set()
            elif data[0] in (REFUSED, LOGGED_IN, ENDED):
                with self.news_came:
                    self.news.append((data[0], data[1:].decode()))
                    self.news_came.notify_all()

    def start_vch(self, host_key=None, private_key=None, room=None):
        """The host's; gives the other ends of its wire, which may have little room, and of what it carries."""
        wire, its_wire = socket.socketpair()
        if room is not None:
            its_wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        plain, its_plain = socket.socketpair()
        read_keys, write_keys = os.pipe()
        os.write(write_keys, f"{host_key or self.machine_public}\n{private_key or self.vch_key}".encode())
        os.close(write_keys)
        sources = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (its_wire.fileno(), its_plain.fileno(), read_keys)]

        def place():
            for target, source in enumerate(sources, 3):
                os.dup2(source, target)

        process = subprocess.Popen([VCH, "secure-link"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   preexec_fn=place, pass_fds=(3, 4, 5), env={})
        self.addCleanup(self.end, process)
        for fd in [read_keys, *sources]:
            os.close(fd)
        for sock in (its_wire, its_plain):
            sock.close()
        for sock in (wire, plain):
            sock.settimeout(TIMEOUT)
            self.addCleanup(sock.close)
        return process, wire, plain

    @staticmethod
    def end(process):
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()

    def connect(self, edit=lambda direction, data: data, link_key=None, **more):
        """Both, and the line between them."""
        self.login, guest_wire = self.start_login(link_key)
        self.process, host_wire, plain = self.start_vch(**more)
        host_wire.sendall(b"OK\n")
        self.line = Line(host_wire, guest_wire, edit)
        return plain

    def report(self):
        """The process's last words, once it has ended."""
        watchdog = threading.Timer(TIMEOUT, self.process.kill)
        watchdog.start()
        text = self.process.stdout.read().decode()
        self.process.wait()
        watchdog.cancel()
        return text

    def wait_for_news(self, kind, pattern):
        def come():
            return [text for k, text in self.news if k == kind and re.search(pattern, text)]
        with self.news_came:
            self.assertTrue(self.news_came.wait_for(come, TIMEOUT), f"{kind} {pattern}: {self.news}")

    def assert_up(self):
        self.assertEqual(self.process.stdout.readline(), b"UP\n")
        self.assertTrue(self.got_link.wait(TIMEOUT))

    def assert_refused(self, *words):
        text = self.report()
        self.assertTrue(text.startswith("REFUSED "), text)
        self.assertEqual(text.count("\n"), 1, text)
        for word in words:
            self.assertIn(word, text)
        self.assertFalse(self.got_link.is_set())

    # -- what it is for ------------------------------------------------------------------------------------------

    def test_bytes_flow_both_ways_whole_until_either_end_closes(self):
        plain = self.connect()
        self.assert_up()
        self.wait_for_news(LOGGED_IN, "^vch, key SHA256:")
        content = os.urandom(1 << 20)
        for source, target in ((plain, self.link), (self.link, plain)):
            sender = threading.Thread(target=source.sendall, args=(content,))
            sender.start()
            got = b""
            while len(got) < len(content) and (piece := target.recv(65536)):
                got += piece
            sender.join()
            self.assertEqual(hashlib.sha256(got).digest(), hashlib.sha256(content).digest())
        self.assertNotIn(content[:64], self.line.seen[UP] + self.line.seen[DOWN])
        plain.close()
        self.assertEqual(read_to_end(self.link), b"")
        self.wait_for_news(ENDED, "^vch$")

    def test_much_goes_both_ways_at_once_through_a_narrow_line(self):
        plain = self.connect(room=4096)
        self.assert_up()
        ends, content, got = (plain, self.link), (os.urandom(2 << 20), os.urandom(2 << 20)), [b"", b""]

        def read(i):
            while len(got[i]) < len(content[i]) and (piece := ends[i].recv(65536)):
                got[i] += piece
        threads = [threading.Thread(target=read, args=(i,)) for i in range(2)]
        threads += [threading.Thread(target=ends[1 - i].sendall, args=(content[i],), daemon=True) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads[:2]:
            thread.join()
        if [len(data) for data in got] != [len(data) for data in content]:
            self.fail(f"{[len(data) for data in got]} bytes: {self.report()}")
        self.assertEqual(tuple(hashlib.sha256(data).digest() for data in got),
                         tuple(hashlib.sha256(data).digest() for data in content))
        self.assertIsNone(self.process.poll())

    def test_the_agent_closes_it(self):
        plain = self.connect()
        self.assert_up()
        self.link.sendall(b"last words")
        self.link.close()
        self.assertEqual(read_to_end(plain), b"last words")
        self.assertIn("LOST the agent has closed it", self.report())

    def test_the_process_may_do_nothing_but_relay(self):
        self.connect()
        self.assert_up()
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            status = file.read()
        self.assertRegex(status, r"(?m)^Seccomp:\s+2$")
        self.assertRegex(status, r"(?m)^NoNewPrivs:\s+1$")
        with open(f"/proc/{self.process.pid}/limits", encoding="ascii") as file:
            self.assertRegex(file.read(), r"(?m)^Max processes\s+0\s")

    def test_an_agent_without_the_service_is_told(self):
        self.process, wire, _ = self.start_vch()
        wire.sendall(b"ERROR no such service\n")
        self.assert_refused("service ssh: no such service")

    # -- nothing weak --------------------------------------------------------------------------------------------

    def test_another_machine_is_known_by_its_key(self):
        _, other = make_key(os.path.join(self.scratch, "other"))
        self.connect(host_key=other)
        self.assert_refused("another machine is on the line", "SHA256:")
        self.wait_for_news(REFUSED, "the client left before it logged in")

    def test_another_host_is_not_let_in(self):
        other, _ = make_key(os.path.join(self.scratch, "other"))
        self.connect(private_key=other)
        self.assert_refused("log in with this host's key")
        self.wait_for_news(REFUSED, "user vch: key SHA256:.* is not authorized")

    def test_algorithms_that_were_edited_are_noticed(self):
        for direction in (UP, DOWN):
            # What the host does not ask for anyway changes nothing but what the machine signs.
            more = ((b"aes128-ctr", b"aes192-ctr"),) if direction == DOWN else ()
            for old, new in (*more, (b"none", b"nome"), (b"ssh-ed25519", b"ssh-ed25518"), (b"aes256-ctr", b"aes128-cbc"),
                             (b"hmac-sha2-256", b"hmac-md5-96xx"), (b"curve25519-sha256", b"curve25519-sha1xx")):
                with self.subTest(f"{old} {direction}"):
                    self.start_anew()

                    def change(way, kind, payload, old=old, new=new, direction=direction):
                        if kind == KEXINIT and way == direction:
                            self.assertIn(old, payload)
                            payload = payload.replace(old, new)
                        return [payload]
                    self.connect(Packets(change))
                    text = self.report()
                    self.assertRegex(text, r"^(REFUSED|LOST) key exchange: [^\n]*\n$")
                    self.assertFalse(self.got_link.is_set())
                    self.wait_for_news(REFUSED, "key exchange|client left")

    def test_a_packet_that_is_put_in_before_the_keys_is_noticed_behind_them(self):
        """What CVE-2023-48795 begins with: a packet of no meaning, in exchange for a later one."""
        for direction in (UP, DOWN):
            with self.subTest(direction):
                self.start_anew()

                def change(way, kind, payload, direction=direction):
                    more = [NOTHING] if way == direction and kind == NEWKEYS else []
                    return [*more, payload]
                self.connect(Packets(change))
                self.assertRegex(self.report(), r"^(REFUSED|LOST) ")
                self.assertFalse(self.got_link.is_set())
                self.assertEqual([], [text for kind, text in self.news if kind == LOGGED_IN])

    def test_a_changed_byte_ends_it(self):
        for direction in (UP, DOWN):
            with self.subTest(direction):
                self.start_anew()
                spoil = []

                def edit(way, data, direction=direction, spoil=spoil):
                    if way != direction or not spoil:
                        return data
                    return data[:-1] + bytes([data[-1] ^ 1])
                plain = self.connect(edit)
                self.assert_up()
                spoil.append(True)
                (plain if direction == UP else self.link).sendall(bytes(1000))
                self.assertEqual(read_to_end(self.link), b"")
                self.assertRegex(self.report(), r"^(REFUSED|LOST) ")

    def test_a_login_that_is_played_again_is_none(self):
        plain = self.connect()
        self.assert_up()
        plain.sendall(b"secret words")
        self.assertEqual(self.link.recv(100), b"secret words")
        recorded = self.line.seen[UP]
        self.assertGreater(len(recorded), 500)
        plain.close()
        self.wait_for_news(ENDED, "vch")
        self.news.clear()
        self.got_link.clear()
        _, wire = self.start_login()
        wire.sendall(recorded)
        wire.shutdown(socket.SHUT_WR)
        read_to_end(wire)
        self.wait_for_news(REFUSED, "key exchange|left before it logged in")
        self.assertFalse(self.got_link.is_set())

    def test_what_is_no_ssh_ends_the_login(self):
        banner = b"SSH-2.0-x\r\n"
        for what in (os.urandom(4096), b"\xff" * 70000, banner + b"\xff" * 4096,
                     banner + struct.pack(">IB", 0x7FFFFFFF, 4) + bytes(100000),
                     banner + struct.pack(">IB", 35, 255) + bytes(31),
                     banner + Packets.pack(bytes([KEXINIT]) + bytes(16) + b"\xff" * 40)):
            with self.subTest(what[:20]):
                self.news.clear()
                login, wire = self.start_login()
                try:
                    wire.sendall(what)
                    wire.shutdown(socket.SHUT_WR)
                    read_to_end(wire)
                except OSError:
                    pass  # It has gone already.
                self.wait_for_news(REFUSED, "key exchange")
                self.assertEqual(login.wait(TIMEOUT), 0)

    def test_what_is_no_ssh_ends_the_process(self):
        banner = b"SSH-2.0-x\r\n"
        for what in (os.urandom(4096), banner + b"\xff" * 4096,
                     banner + struct.pack(">IB", 0x7FFFFFFF, 4) + bytes(100000),
                     banner + struct.pack(">IB", 35, 255) + bytes(31),
                     banner + Packets.pack(bytes([KEXINIT]) + bytes(16) + b"\xff" * 40)):
            with self.subTest(what[:20]):
                self.process, wire, _ = self.start_vch()
                try:
                    wire.sendall(b"OK\n" + what)
                    wire.shutdown(socket.SHUT_WR)
                    read_to_end(wire)
                except OSError:
                    pass
                self.assertRegex(self.report(), r"^(REFUSED|LOST) [^\n]*\n$")
                self.assertEqual(self.process.returncode, 0)


if __name__ == "__main__":
    unittest.main()
