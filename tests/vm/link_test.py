"""The control plane over each kind of link."""

import contextlib
import hashlib
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

from vch_testing import BUILD, TIMEOUT, VCH, VmTest, inspect, vch

MIB = 1 << 20
PORT = 1024  # protocol/config.h kLinkVsockPort
KERNEL = os.access("/dev/vhost-vsock", os.R_OK | os.W_OK)
DIALLER = os.path.join(BUILD, "tests", "vsock_dial")
HELLO1, HELLO2 = 1, 2


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def hello1():
    """A host's call, as docs/protocol.md has it: all that can be said without the key."""
    payload = struct.pack("<BBBBI", 1, 1, 2, 0, 0) + os.urandom(24)
    header = struct.pack("<HBBHHIIQ", 0x5474, HELLO1, 1, len(payload), 0, 0, 0, 0)
    return (header + struct.pack("<I", crc32c(header)) + payload +
            struct.pack("<I", crc32c(payload)))


def frame_types(data):
    """Of all that looks like a frame; with everything else, as the second result."""
    types, rest = [], data
    while (at := rest.find(b"\x74\x54")) >= 0 and len(rest) - at >= 28:
        header = rest[at:at + 28]
        if struct.unpack("<I", header[24:])[0] == crc32c(header[:24]):
            types.append(header[2])
            length = struct.unpack("<H", header[4:6])[0]
            rest = rest[:at] + rest[at + 28 + length + (4 if length else 0):]
        else:
            return types, rest
    return types, rest


def wait_for(condition, what):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"in vain for {TIMEOUT} s: {what}")
        time.sleep(0.02)


class Carried:
    """What must hold for any link; mixed into a test case that names one."""
    LINK = ""

    def test_streams_pass_both_ways_unchanged(self):
        sent = os.urandom(300000)
        result = self.run_vm("--link", self.LINK, "-i", "busybox", "sh", "-c",
                             "tee /dev/stderr; exit 7", stdin=sent)
        self.assertEqual(result.returncode, 7, result.stderr[-500:])
        for received in (result.stdout, result.stderr):
            self.assertEqual(hashlib.sha256(received).digest(), hashlib.sha256(sent).digest())

    def test_the_control_service_is_carried(self):
        name = self.name()
        started = vch("run", "-d", "--link", self.LINK, "--name", name, "busybox", "sleep", "1000")
        self.assertEqual(started.returncode, 0, started.stderr)
        self.assert_ended(vch("stop", "-t", "1", name), 0)
        seen = inspect(name)
        self.assertEqual((seen["Link"]["Kind"], seen["ExitCode"]), (self.LINK, 137))


class Uart(Carried, VmTest):
    LINK = "uart"


class VsockTest(VmTest):
    @classmethod
    def setUpClass(cls):
        result = vch("run", "--rm", "--link", "vsock", "busybox", "true")
        if result.returncode != 0:
            raise AssertionError(f"no vsock link here: {result.stderr.decode()}")


class Vsock(Carried, VsockTest):
    LINK = "vsock"

    @contextlib.contextmanager
    def running(self, *arguments):
        """`vch run -i` with these, fed and read by the test; its name and the process."""
        name = self.name()
        with subprocess.Popen([VCH, "run", "-i", "--link", "vsock", "--name", name, *arguments],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            try:
                yield name, process
            finally:
                process.kill()

    @contextlib.contextmanager
    def without_a_link(self, name, process):
        """The shim is dead, and nobody there starts another."""
        process.send_signal(signal.SIGSTOP)
        try:
            os.kill(inspect(name)["Shim"]["Pid"], signal.SIGKILL)
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def dial(self, name):
        """A connection to the agent's port by somebody on the host, once the guest took it."""
        directory = inspect(name)["Directory"]
        with open(os.path.join(directory, "life.json"), encoding="utf-8") as file:
            cid = json.load(file)["vsock_cid"]
        if cid:
            stranger = socket.socket(socket.AF_VSOCK)
            stranger.settimeout(TIMEOUT)
            stranger.connect((cid, PORT))
            return stranger
        stranger = socket.socket(socket.AF_UNIX)
        stranger.settimeout(TIMEOUT)
        with contextlib.ExitStack() as stack:
            descriptor = os.open(directory, os.O_PATH)
            stack.callback(os.close, descriptor)
            stranger.connect(f"/proc/self/fd/{descriptor}/vsock.sock")
        stranger.sendall(b"CONNECT %d\n" % PORT)
        answer = b""
        while not answer.endswith(b"\n"):
            answer += stranger.recv(1)
        self.assertTrue(answer.startswith(b"OK "), answer)
        return stranger

    def exchange(self, process, size):
        """Sends so many bytes through `cat` and back."""
        sent = os.urandom(size)
        writer = threading.Thread(
            target=lambda: (process.stdin.write(sent), process.stdin.flush()))
        writer.start()
        received = process.stdout.read(size)
        writer.join()
        self.assertEqual(hashlib.sha256(received).digest(), hashlib.sha256(sent).digest())

    def test_a_killed_shim_costs_no_byte(self):
        size, kills = 16 * MIB, 4
        sent = os.urandom(size)
        with self.running("busybox", "cat") as (name, process):
            feeder = threading.Thread(
                target=lambda: (process.stdin.write(sent), process.stdin.close()))
            feeder.start()
            received, killed = bytearray(), 0
            while piece := os.read(process.stdout.fileno(), 1 << 16):
                received += piece
                # Each time on a link that has carried something since the last.
                if killed < kills and len(received) > size * (killed + 1) // (kills + 1):
                    os.kill(inspect(name)["Shim"]["Pid"], signal.SIGKILL)
                    killed += 1
            feeder.join()
            self.assertEqual(process.wait(TIMEOUT), 0)
        self.assertEqual((killed, len(received)), (kills, size))
        self.assertEqual(hashlib.sha256(received).digest(), hashlib.sha256(sent).digest())

    def test_a_stranger_on_the_host_gets_nothing_and_stops_nothing(self):
        with self.running("busybox", "cat") as (name, process):
            self.exchange(process, 100000)
            with self.dial(name) as stranger:
                stranger.sendall(os.urandom(20000) + hello1())
                # The real link is in use: it goes on, and the stranger is not even heard.
                self.exchange(process, MIB)
                self.assertEqual(select.select([stranger], [], [], 0)[0], [])
                # Now the stranger is the only one there.
                with self.without_a_link(name, process):
                    heard = stranger.recv(4096)
                # The real one comes back: the stranger is heard no more, and all goes on.
                self.exchange(process, MIB)
                with contextlib.suppress(ConnectionResetError):
                    while piece := stranger.recv(4096):
                        heard += piece
            process.stdin.close()
            self.assertEqual(process.wait(TIMEOUT), 0)
        types, rest = frame_types(heard)
        # A call, and the answer to the stranger's own: nonces, and a proof that only the key tells
        # from noise. Never a frame of a session.
        self.assertLessEqual(set(types), {HELLO1, HELLO2})
        self.assertIn(HELLO1, types)
        self.assertEqual(rest, b"")

    def test_a_process_in_the_container_does_not_reach_the_agent(self):
        root = os.path.join(self.scratch, "root")
        os.mkdir(root)
        shutil.copy(DIALLER, root)
        image = f"vsock-dial-{os.getpid()}"
        self.assert_ended(vch("image", "import", f"dir:{root}", image), 0)
        self.addCleanup(vch, "image", "rm", image)
        # The loopback address, its own where vhost-device-vsock gives it, and the host.
        cids = ["1", "3", "2"]
        result = self.run_vm("--link", "vsock", image, "/vsock_dial", str(PORT), *cids)
        self.assert_ended(result, 0)
        lines = result.stdout.decode().splitlines()
        self.assertEqual([line.split(",")[0] for line in lines],
                         [f"{cid}: refused" for cid in cids], lines)


class VsockDevice(VsockTest):
    """The process beside QEMU, where the kernel has no vsock device."""

    def devices(self, directory):
        """Those that run in this container's directory; a dead one has none."""
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{entry}/cwd") == directory:
                    with open(f"/proc/{entry}/comm", encoding="utf-8") as file:
                        if file.read().startswith("vhost-device"):
                            found.append(int(entry))
        return found

    def start(self, name, *command):
        result = vch(*command)
        self.assertEqual(result.returncode, 0, result.stderr)
        directory = inspect(name)["Directory"]
        self.assertEqual(len(self.devices(directory)), 0 if KERNEL else 1)
        return directory

    def test_it_lives_as_long_as_the_machine(self):
        name = self.name()
        directory = self.start(name, "run", "-d", "--link", "vsock", "--name", name, "busybox",
                               "sleep", "1000")
        before = self.devices(directory)
        self.assert_ended(vch("stop", "-t", "1", name), 0)
        self.assertEqual(self.devices(directory), [])
        self.start(name, "start", name)
        if not KERNEL:
            self.assertNotEqual(self.devices(directory), before)
        os.kill(inspect(name)["Machine"]["Pid"], signal.SIGKILL)
        wait_for(lambda: inspect(name)["State"] == "exited", "the killed machine's end")
        self.assertEqual(self.devices(directory), [])
        self.start(name, "start", name)
        self.assert_ended(vch("rm", "-f", name), 0)
        self.assertEqual(self.devices(directory), [])

    def test_it_does_not_end_with_who_started_it(self):
        name = self.name()
        with subprocess.Popen([VCH, "run", "--link", "vsock", "--name", name, "busybox", "sh", "-c",
                               "echo ready; sleep 1000"], stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            process.kill()
        self.assertEqual(len(self.devices(inspect(name)["Directory"])), 0 if KERNEL else 1)
        self.assert_ended(vch("stop", "-t", "1", name), 0)
        self.assertEqual(self.devices(inspect(name)["Directory"]), [])

    def test_one_that_does_not_run_is_quoted_and_leaves_nothing(self):
        program = os.path.join(self.scratch, "vhost-device-vsock")
        with open(program, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\necho it is broken >&2\nexit 1\n")
        os.chmod(program, 0o755)
        name = self.name()
        result = self.run_vm("--link", "vsock", "--name", name, "busybox", "true",
                             env={"PATH": f"{self.scratch}:{os.environ['PATH']}"})
        if KERNEL:
            self.assert_ended(result, 0)
        else:
            self.assert_one_line(result, 125, program, "it is broken")
        self.assertNotEqual(vch("inspect", name).returncode, 0)

    def test_a_host_without_one_is_told_where_it_comes_from(self):
        tools = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": self.scratch}
        result = self.run_vm("--link", "vsock", "busybox", "true", env=tools)
        if KERNEL or os.path.exists("/usr/bin/vhost-device-vsock"):
            self.assert_ended(result, 0)
        else:
            self.assert_one_line(result, 125, "vhost-device-vsock", "scripts/setup run",
                                 "/dev/vhost-vsock")
