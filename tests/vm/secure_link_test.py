"""Secure links: the control plane in SSH, over a UART that is a TCP socket on the host, and what others do to it."""

import asyncio
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import unittest
from pathlib import Path

from ssh_fixture import wait_until
from vch_testing import FULL, SOURCE, TIMEOUT, VCH, VmTest, inspect, kill_shim, vch

sys.path.insert(0, str(Path(SOURCE) / "tests/peers"))
from python_peer.connection import ConnectionEnded  # noqa: E402
from python_peer.machine import SCHEMA_FILES  # noqa: E402
from python_peer.protobuf import Schema  # noqa: E402
from python_peer.transport import Endpoint  # noqa: E402

STREAM = (1 << 20) if FULL else (60 << 10)  # an emulated UART takes 1 to 10 kB/s on a busy host
CUTS = 20 if FULL else 2


class Line:
    """A man in the middle of a container's line: `place` is where he listens."""

    def __init__(self, target):
        self.target = target
        self.heard = b""            # of the host
        self._pairs = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.place = "127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def cut(self):
        for pair in list(self._pairs):
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        self._listener.close()
        self.cut()

    def _serve(self):
        while True:
            try:
                host, _ = self._listener.accept()
                guest = socket.create_connection(self.target)
            except OSError:
                return
            pair = (host, guest)
            self._pairs.add(pair)
            for source, target in (pair, pair[::-1]):
                threading.Thread(target=self._copy, args=(source, target, pair), daemon=True).start()

    def _copy(self, source, target, pair):
        try:
            while data := source.recv(65536):
                if source is pair[0]:
                    self.heard += data
                target.sendall(data)
        except OSError:
            pass
        for end in pair:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._pairs.discard(pair)


class SecureLinkTest(VmTest):
    """One machine for all of it; a second one is on the line for a while."""

    @classmethod
    def setUpClass(cls):
        cls.container = f"SecureLinkTest-{os.getpid()}"
        cls.addClassCleanup(vch, "rm", "-f", cls.container)
        started = vch("run", "-d", "--link", "uart-tcp", "--name", cls.container, "busybox", "sh", "-c",
                      "echo begun; exec sleep 1000000")
        assert started.returncode == 0, started.stderr
        cls.schema = Schema(*(Path(SOURCE) / "protocol" / name for name in SCHEMA_FILES))
        cls.directory = inspect(cls.container)["Directory"]
        cls.state = os.path.dirname(os.path.dirname(cls.directory))
        cls.uart = cls.place_of(cls.directory)

    def tearDown(self):
        # Whatever was done to it, the container has run on, in one piece.
        self.assertEqual(vch("exec", self.container, "cat", "/proc/1/comm").stdout, b"sleep\n")
        self.assertEqual(inspect(self.container)["RestartCount"], 0)

    @staticmethod
    def place_of(directory):
        with open(os.path.join(directory, "link.tcp"), encoding="ascii") as file:
            host, port = file.read().strip().split(":")
        return host, int(port)

    def lead(self, place):
        """The line's host end leads there from now on."""
        if not isinstance(place, str):
            place = "%s:%d" % place
        with open(os.path.join(self.directory, "link.new"), "w", encoding="ascii") as file:
            file.write(place + "\n")
        os.rename(os.path.join(self.directory, "link.new"), os.path.join(self.directory, "link.tcp"))
        self.assert_ended(vch("upgrade-shim", self.container), 0)

    def put_line_between(self, target=None):
        line = Line(target or self.uart)
        self.addCleanup(self.lead, self.uart)
        self.addCleanup(line.close)
        self.lead(line.place)
        return line

    def link_key(self):
        with open(os.path.join(self.directory, "config.pb"), "rb") as file:
            return self.schema.decode("ContainerVm", file.read())["secrets"]["link_key"]

    def change_secrets(self, directory, **changes):
        with open(os.path.join(directory, "config.pb"), "ab") as file:
            file.write(self.schema.encode("ContainerVm", {"secrets": changes}))  # merged into what is there

    def news(self, action, container=None):
        lines = vch("events", "--since", "24h", "--until", "0s", "--format", "{{json .}}",
                    "--filter", f"container={container or self.container}").stdout.decode().splitlines()
        found = [json.loads(line) for line in lines if line]
        return [event["Actor"]["Attributes"]["who"] for event in found if event["Action"] == action]

    def wait_for_refusal(self, pattern, container=None):
        wait_until(self, f"an event {pattern}", lambda: [
            who for who in self.news("ssh_refused", container) if re.search(pattern, who)])

    def shim_log(self):
        with open(os.path.join(self.directory, "shim.log"), encoding="utf-8") as file:
            return file.read()

    def kill_hosts_end(self):
        shim = str(inspect(self.container)["Shim"]["Pid"])
        done = subprocess.run(["pkill", "-KILL", "-P", shim, "-f", "secure-link"], check=False)
        self.assertEqual(done.returncode, 0, "the process that speaks SSH for the shim")

    # -- what it is for ------------------------------------------------------------------------------------------

    def test_everything_goes_through_it(self):
        with self.subTest("run"):
            result = self.run_vm("--link", "uart-tcp", "-i", "busybox", "sh", "-c", "cat; echo err >&2; exit 7",
                                 stdin=b"from stdin")
            self.assert_ended(result, 7, b"from stdin", b"err\n")
        with self.subTest("exec"):
            result = vch("exec", "-i", self.container, "sh", "-c", "cat; echo err >&2; exit 9", stdin=b"in\0")
            self.assert_ended(result, 9, b"in\0", b"err\n")
        with self.subTest("logs"):
            self.assert_ended(vch("logs", self.container), 0, b"begun\n", b"")
        with self.subTest("cp"):
            source = os.path.join(self.scratch, "file")
            Path(source).write_bytes(os.urandom(5000))
            self.assert_ended(vch("cp", source, f"{self.container}:/tmp/file"), 0)
            self.assert_ended(vch("cp", f"{self.container}:/tmp/file", source + ".again"), 0)
            self.assertEqual(Path(source).read_bytes(), Path(source + ".again").read_bytes())
        with self.subTest("attach"):
            name = self.name()
            self.assert_ended(vch("run", "-di", "--link", "uart-tcp", "--name", name, "busybox", "sh", "-c",
                                  "read line; echo got $line; exit 3"), 0)
            self.assert_ended(vch("attach", name, stdin=b"words\n"), 3, b"got words\n", b"")
        with self.subTest("ssh"):
            self.assert_ended(vch("ssh", self.container, "echo by ssh"), 0, b"by ssh\n")
        self.assertTrue([who for who in self.news("ssh_login") if re.match("vch, key SHA256:", who)])

    def test_other_links_can_be_secure_and_this_one_is(self):
        self.assert_ended(self.run_vm("--link-security", "ssh", "busybox", "echo", "hello"), 0, b"hello\n", b"")
        self.assert_one_line(self.run_vm("--link", "uart-tcp", "--link-security", "proof", "busybox", "true"), 125,
                             "--link-security", "wants ssh")
        self.assert_one_line(self.run_vm("--link-security", "tls", "busybox", "true"), 125, "want proof or ssh")

    def test_streams_are_whole_whatever_becomes_of_line_and_shim(self):
        line = self.put_line_between()
        content = os.urandom(STREAM)
        exec_ = subprocess.Popen([VCH, "exec", "-i", self.container, "cat"], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(exec_.stderr.close)
        self.addCleanup(exec_.stdout.close)
        self.addCleanup(exec_.kill)

        def feed():
            exec_.stdin.write(content)
            exec_.stdin.close()
        threading.Thread(target=feed, daemon=True).start()
        got = b""
        deeds = [deed for _ in range(CUTS) for deed in (line.cut, lambda: kill_shim(self.container))]
        deeds += [self.kill_hosts_end, lambda: self.assert_ended(vch("restart-link", self.container), 0)]
        for i, deed in enumerate(deeds, 1):
            until = len(content) * i // (len(deeds) + 1)
            while len(got) < until and (piece := exec_.stdout.read1(65536)):
                got += piece
            deed()
        got += exec_.stdout.read()
        self.assertEqual(exec_.wait(TIMEOUT), 0, exec_.stderr.read())
        self.assertEqual(len(got), len(content))
        self.assertEqual(hashlib.sha256(got).digest(), hashlib.sha256(content).digest())
        self.assertNotIn(content[:32], line.heard)
        # A line that was cut costs nothing: SSH goes on when it is back. A shim's end costs the login.
        self.assertGreater(len(self.news("ssh_login")), CUTS)

    # -- nothing weak --------------------------------------------------------------------------------------------

    def test_who_has_the_links_key_alone_gets_no_service_but_ssh(self):
        kill_shim(self.container)
        key = self.link_key()
        path = os.path.join(self.scratch, "line")
        bridge = socket.socket(socket.AF_UNIX)
        bridge.bind(path)
        bridge.listen()
        self.addCleanup(bridge.close)

        def serve():
            host, _ = bridge.accept()
            guest = socket.create_connection(self.uart)
            for source, target in ((host, guest), (guest, host)):
                threading.Thread(target=copy, args=(source, target), daemon=True).start()

        def copy(source, target):
            try:
                while data := source.recv(65536):
                    target.sendall(data)
                target.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        threading.Thread(target=serve, daemon=True).start()

        async def ask():
            endpoint = Endpoint(path, key)
            endpoint.start()
            try:
                for service in ("control", "stdio", "clock", "archive"):
                    with self.assertRaises(ConnectionEnded):
                        connection = await endpoint.open(service)
                        while await connection.read():
                            pass
                ssh = await endpoint.open("ssh")
                self.assertTrue((await ssh.read()).startswith(b"SSH-2.0-"))
            finally:
                await endpoint.close()
        asyncio.run(asyncio.wait_for(ask(), TIMEOUT))
        for service in ("control", "stdio", "clock"):
            self.wait_for_refusal(f"^{service} without SSH")

    def test_each_key_opens_its_own_door_alone(self):
        link_key = os.path.join(self.state, "ssh", "link_ed25519")
        config = os.path.join(self.scratch, "config")
        Path(config).write_bytes(vch("ssh-config").stdout)
        other = os.path.join(self.scratch, "other")
        shutil.copy(link_key, other)
        text = re.sub(r"(?m)^  IdentityFile .*$", f"  IdentityFile {other}", Path(config).read_text(encoding="utf-8"))
        with_link_key = os.path.join(self.scratch, "with-link-key")
        Path(with_link_key).write_text(text, encoding="utf-8")

        def ssh(config, *words):
            return subprocess.run(["ssh", "-F", config, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)
        host = f"{self.container}.vch"
        for words, pattern in (
                ((config, "-s", host, "tether"), "user root: the control plane is for the link's key alone"),
                ((with_link_key, host, "true"), "user root: the link's key is for the user vch alone"),
                ((with_link_key, "-l", "vch", host, "true"), "^a command: the link's key is for the subsystem"),
                ((with_link_key, "-l", "vch", "-s", host, "sftp"), "^another subsystem: "),
                ((config, "-l", "vch", host, "true"), "user vch: the container has no such user")):
            with self.subTest(pattern):
                self.assertNotEqual(ssh(*words).returncode, 0)
                self.wait_for_refusal(pattern)

    def start_second(self, suffix, **secrets):
        """A machine like the first, with other secrets, which nobody of this host's is on the line of."""
        name = self.name(suffix)
        self.assert_ended(vch("create", "--link", "uart-tcp", "--name", name, "busybox", "sleep", "1000000"), 0)
        directory = inspect(name)["Directory"]
        self.change_secrets(directory, **secrets)
        self.assert_ended(vch("start", name), 0)
        self.assert_ended(vch("upgrade-shim", name), 0)
        return name, directory

    def test_another_host_is_not_let_in(self):
        key = os.path.join(self.scratch, "stranger")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        public = Path(key + ".pub").read_text(encoding="ascii")
        second, _ = self.start_second("second", ssh_link_key=public)
        self.assert_one_line(vch("exec", second, "true"), 1, "secure link", "log in with this host's key")
        self.wait_for_refusal("user vch: key SHA256:.* is not authorized", second)

    def test_another_machine_on_the_line_is_refused(self):
        for suffix, secrets, words in (("stranger", {}, "does not know the container's link key"),
                                       ("twin", {"link_key": self.link_key()}, "its key is SHA256:")):
            with self.subTest(suffix):
                second, directory = self.start_second(suffix, **secrets)
                kill_shim(second)
                self.put_line_between(self.place_of(directory))
                self.assert_one_line(vch("exec", self.container, "true"), 1, "secure link",
                                     "another machine is on the line", words)
                self.lead(self.uart)
        self.wait_for_refusal("the client left before it logged in", second)
        self.assert_ended(vch("exec", self.container, "echo", "back"), 0, b"back\n")

    def test_what_was_said_once_says_nothing_again(self):
        with self.subTest("on the line"):
            line = self.put_line_between()
            self.assert_ended(vch("exec", self.container, "touch", "/tmp/once"), 0)
            self.assert_ended(vch("exec", self.container, "rm", "/tmp/once"), 0)
            heard = line.heard
            self.assertGreater(len(heard), 2000)
            line.close()
            kill_shim(self.container)
            with socket.create_connection(self.uart) as uart:
                uart.sendall(heard)
            self.lead(self.uart)
            self.assertNotIn(b"once", vch("exec", self.container, "ls", "/tmp").stdout)
        with self.subTest("in SSH"):
            link_key = os.path.join(self.scratch, "key")
            shutil.copy(os.path.join(self.state, "ssh", "link_ed25519"), link_key)
            record = os.path.join(self.scratch, "record")
            done = subprocess.run(
                ["ssh", "-i", link_key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=none",
                 "-o", f"ProxyCommand=tee {record} | {VCH} dial {self.container} ssh", "-l", "vch", "-s", "box",
                 "tether"], input=b"", stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)
            self.assertIn("vch", " ".join(self.news("ssh_login")), done.stderr)
            before = len(self.news("ssh_refused"))
            dial = vch("dial", self.container, "ssh", stdin=Path(record).read_bytes())
            self.assertTrue(dial.stdout.startswith(b"SSH-2.0-"))
            wait_until(self, "a refusal", lambda: len(self.news("ssh_refused")) > before)

    def test_noise_ends_a_login_and_nothing_else(self):
        for what in (b"\xff" * 70000, b"SSH-2.0-x\r\n" + b"\x7f\xff\xff\xff\x04" + bytes(100000)):
            before = len(self.news("ssh_refused"))
            vch("dial", self.container, "ssh", stdin=what)
            wait_until(self, "a refusal", lambda before=before: len(self.news("ssh_refused")) > before)
        kill_shim(self.container)
        with socket.create_connection(self.uart) as uart:
            uart.sendall(os.urandom(20000))


if __name__ == "__main__":
    unittest.main()
