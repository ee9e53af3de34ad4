"""Containers on a bridge, in a network namespace of this test's own."""

import ctypes
import os
import socket
import subprocess
import threading
import unittest
import urllib.error
import urllib.request

from network_test import NetworkTest
from vch_testing import inspect, vch

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000


def setUpModule():
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        raise unittest.SkipTest("needs root and /dev/net/tun")
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS | CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare network namespace")
    for command in ("mount --make-rslave /", "mount -t sysfs sysfs /sys",  # which shows its mounter's
                    "ip link set lo up"):
        subprocess.run(command.split(), check=True)


class Bridge(NetworkTest):
    def setUp(self):
        super().setUp()
        self.bridge = "br0"
        subprocess.run(["ip", "link", "add", self.bridge, "type", "bridge"], check=True)
        self.addCleanup(subprocess.run, ["ip", "link", "del", self.bridge], check=True)
        subprocess.run(["ip", "addr", "add", "10.213.77.1/24", "dev", self.bridge], check=True)
        subprocess.run(["ip", "link", "set", self.bridge, "up"], check=True)

    def fetch(self, address, port):
        with urllib.request.urlopen(f"http://{address}:{port}/", timeout=60) as page:
            return page.read()

    def test_containers_reach_each_other_and_published_is_all_that_is_let_in(self):
        script = """mkdir /www; echo hello >/www/index.html
            for p in 80 81; do httpd -p $p -h /www; done; echo ready; sleep 1000"""
        net = f"bridge:{self.bridge},ip=10.213.77"
        self.start(script, "--network", f"{net}.2/24,policy=published", "-p", "80")
        for fetch in (lambda port: self.fetch("10.213.77.2", port),
                      lambda port: self.sh(f"wget -qO- http://10.213.77.2:{port}/", "--network",
                                           f"{net}.3/24").stdout):
            self.assertEqual(fetch(80), b"hello\n")
        with self.assertRaises(urllib.error.URLError) as refused:
            self.fetch("10.213.77.2", 81)
        self.assertIsInstance(refused.exception.reason, ConnectionRefusedError)

    def test_a_lease_is_renewed_and_given_back(self):
        with DhcpServer(self.bridge, lease_s=4) as server:
            name = self.start("echo ready; ip -o -4 addr show eth0; sleep 1000",
                              "--network", f"bridge:{self.bridge}", "--hostname", "leased")
            server.wait_for("renewal", 2)
            server.silent = True
            gone = "while ip -o -4 addr show eth0 | grep -q 10.213; do usleep 50000; done"
            self.assert_ended(self.inside(name, gone), 0, b"")
            asked = server.seen["request"]
            server.silent = False
            server.wait_for("request", asked + 1)
            server.wait_for("renewal", server.seen["renewal"] + 1)
            self.assert_ended(vch("stop", "-t", "0", name), 0)
            server.wait_for("release", 1)
        events = vch("events", "--since", "10m", "--until", "0s", name).stdout.decode()
        self.assertIn("address=eth0 lost 10.213.77.50/24", events)
        self.assertEqual(inspect(name)["Networks"][0]["Addresses"], ["10.213.77.50/24"])
        self.assertEqual(server.hostname, b"leased")

    def test_a_lease_that_came_later_is_given_back_at_the_disconnect(self):
        name = self.start("echo ready; sleep 1000", "--network", "none")
        with DhcpServer(self.bridge, lease_s=600) as server:
            self.assert_ended(vch("network", "connect", name, f"bridge:{self.bridge}"), 0, b"eth0\n",
                              b"")
            leased = "until ip -o -4 addr show eth0 | grep -q 10.213.77.50; do usleep 50000; done"
            self.assert_ended(self.inside(name, leased), 0, b"")
            self.assert_ended(vch("network", "disconnect", name, "eth0"), 0, b"eth0\n", b"")
            server.wait_for("release", 1)
        events = vch("events", "--since", "10m", "--until", "0s", name).stdout.decode()
        self.assertIn("address=eth0 lost 10.213.77.50/24", events)
        # Closed: not even a refusal comes back.
        self.assert_ended(vch("network", "connect", name,
                              f"bridge:{self.bridge},ip=10.213.77.9/24,policy=closed"), 0)
        self.assert_ended(vch("exec", "-d", name, "nc", "-l", "-p", "80"), 0)
        with self.assertRaises(TimeoutError):
            socket.create_connection(("10.213.77.9", 80), timeout=2)
        self.assert_ended(self.inside(name, "ip -o -4 addr show eth0 | grep -o 10.213.77.9"), 0)

    def test_without_a_server_it_says_so_and_ends(self):
        # The deadline is the thing under test, and 20 s.
        result = self.sh("true", "--network", f"bridge:{self.bridge}")
        self.assert_one_line(result, 125, "get DHCP lease", "eth0", "no DHCP server answered")


class DhcpServer:
    """Gives 10.213.77.50 to whoever asks on an interface, and counts what it is asked for."""

    def __init__(self, interface, lease_s):
        self.lease = lease_s
        self.stopped = self.silent = False
        self.seen = {}
        self.hostname = None
        self.news = threading.Condition()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("", 67))
        self.thread = threading.Thread(target=self.serve)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wake:
            wake.sendto(b"", ("10.213.77.1", 67))
        self.thread.join()
        self.socket.close()

    def wait_for(self, what, count):
        with self.news:
            if not self.news.wait_for(lambda: self.seen.get(what, 0) >= count, timeout=120):
                raise AssertionError(f"no {what}: {self.seen}")

    def serve(self):
        while not self.stopped:
            message = self.socket.recv(2048)
            if len(message) < 240:
                continue
            options, at = {}, 240
            while at < len(message) and message[at] != 255:
                if message[at] == 0:
                    at += 1
                    continue
                options[message[at]] = message[at + 2:at + 2 + message[at + 1]]
                at += 2 + message[at + 1]
            kind = options.get(53, b"\0")[0]
            own = message[12:16] != bytes(4)
            what = {1: "discover", 3: "renewal" if own else "request", 7: "release"}.get(kind)
            with self.news:
                self.seen[what] = self.seen.get(what, 0) + 1
                self.hostname = options.get(12, self.hostname)
                self.news.notify_all()
            if kind not in (1, 3) or self.silent:
                continue
            reply = bytearray(message[:240])
            reply[0] = 2
            reply[16:20] = bytes((10, 213, 77, 50))
            reply += bytes((53, 1, 2 if kind == 1 else 5, 54, 4, 10, 213, 77, 1,
                            1, 4, 255, 255, 255, 0, 3, 4, 10, 213, 77, 1))
            reply += bytes((51, 4)) + self.lease.to_bytes(4, "big") + b"\xff"
            self.socket.sendto(reply.ljust(300, b"\0"), ("255.255.255.255", 68))
