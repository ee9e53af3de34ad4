"""Containers on a bridge, in a network namespace of this test's own."""

import contextlib
import ctypes
import os
import socket
import subprocess
import threading
import unittest
import urllib.error
import urllib.request

from migrate_test import HERE, Migration, until
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


class OnBridge(NetworkTest):
    """The test itself is the neighbour, 10.213.77.1."""

    def setUp(self):
        super().setUp()
        self.bridge = "br0"
        subprocess.run(["ip", "link", "add", self.bridge, "type", "bridge"], check=True)
        self.addCleanup(subprocess.run, ["ip", "link", "del", self.bridge], check=True)
        subprocess.run(["ip", "addr", "add", "10.213.77.1/24", "dev", self.bridge], check=True)
        subprocess.run(["ip", "link", "set", self.bridge, "up"], check=True)


class Bridge(OnBridge):
    def await_inside(self, name, condition):
        self.assert_ended(self.inside(name, f"until {condition}; do usleep 50000; done"), 0, b"")

    def fetch(self, address, port):
        with urllib.request.urlopen(f"http://{address}:{port}/", timeout=60) as page:
            return page.read()

    def test_containers_reach_each_other_and_published_is_all_that_is_let_in(self):
        script = """mkdir /www; echo hello >/www/index.html
            for p in 80 81; do httpd -p $p -h /www; done; echo ready; sleep 1000"""
        net = f"bridge:{self.bridge},ip=10.213.77"
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x806)) as listening:
            listening.bind((self.bridge, 0x806))
            listening.settimeout(60)
            self.start(script, "--network", f"{net}.2/24,policy=published", "-p", "80")
            # Whoever remembers another card for the address is told: sender and target are the same.
            address = socket.inet_aton("10.213.77.2")
            while (packet := listening.recv(100))[14:18] != address or packet[24:28] != address:
                pass
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
        resolver = "cat /etc/resolv.conf; stat -c %i /etc/resolv.conf"
        before = self.inside(name, resolver).stdout.decode()
        with DhcpServer(self.bridge, lease_s=600, dns="10.213.77.1", domain=b"one.example") as server:
            self.assert_ended(vch("network", "connect", name, f"bridge:{self.bridge}"), 0, b"eth0\n",
                              b"")
            leased = "until ip -o -4 addr show eth0 | grep -q 10.213.77.50; do usleep 50000; done"
            self.assert_ended(self.inside(name, leased), 0, b"")
            # It brings its name server, into the same file, and takes it away again.
            self.await_inside(name, "grep -q '^nameserver 10.213.77.1$' /etc/resolv.conf")
            inode = before.split()[-1]
            self.assert_ended(self.inside(name, resolver), 0,
                              f"nameserver 10.213.77.1\nsearch one.example\n{inode}\n".encode())
            self.assert_ended(vch("network", "disconnect", name, "eth0"), 0, b"eth0\n", b"")
            server.wait_for("release", 1)
            self.await_inside(name, "! grep -q ^nameserver /etc/resolv.conf")
            self.assert_ended(self.inside(name, resolver), 0, before.encode())
        events = vch("events", "--since", "10m", "--until", "0s", name).stdout.decode()
        self.assertIn("address=eth0 lost 10.213.77.50/24", events)
        # Closed: not even a refusal comes back.
        self.assert_ended(vch("network", "connect", name,
                              f"bridge:{self.bridge},ip=10.213.77.9/24,policy=closed"), 0)
        self.assert_ended(vch("exec", "-d", name, "nc", "-l", "-p", "80"), 0)
        with self.assertRaises(TimeoutError):
            socket.create_connection(("10.213.77.9", 80), timeout=2)
        self.assert_ended(self.inside(name, "ip -o -4 addr show eth0 | grep -o 10.213.77.9"), 0)

    def test_name_servers_are_those_of_the_lease_and_answer(self):
        with DhcpServer(self.bridge, lease_s=4, dns="10.213.77.1", domain=b"one.example") as server, \
                DnsServer("10.213.77.1"):
            name = self.start("echo ready; sleep 1000", "--network", f"bridge:{self.bridge}")
            found = self.inside(name, "nslookup db.one.example; stat -c %i /etc/resolv.conf")
            self.assertIn(b"10.99.0.7", found.stdout)
            inode = found.stdout.split()[-1]
            # A later lease says otherwise.
            server.dns, server.domain = "10.213.77.9", b"two.example"
            self.await_inside(name, "grep -q '^nameserver 10.213.77.9$' /etc/resolv.conf")
            self.assert_ended(self.inside(name, "cat /etc/resolv.conf; stat -c %i /etc/resolv.conf"), 0,
                              b"nameserver 10.213.77.9\nsearch two.example\n" + inode + b"\n")
            # What somebody in the container makes of the file is left alone.
            self.assert_ended(self.inside(name, "echo mine >/etc/resolv.conf"), 0)
            server.dns = "10.213.77.1"
            server.wait_for("renewal", server.seen["renewal"] + 3)
            self.assert_ended(self.inside(name, "cat /etc/resolv.conf"), 0, b"mine\n")
            self.assert_ended(vch("stop", "-t", "0", name), 0)
            # What was asked for by hand is not a server's to say.
            self.assert_ended(self.sh("cat /etc/resolv.conf", "--network", f"bridge:{self.bridge}",
                                      "--dns", "192.0.2.53"), 0,
                              b"nameserver 192.0.2.53\nsearch two.example\n", b"")

    def test_the_user_network_asks_the_hosts_name_server(self):
        with open(os.path.join(self.scratch, "resolv.conf"), "w", encoding="ascii") as file:
            file.write("nameserver 127.0.0.1\n")
        subprocess.run(["mount", "--bind", file.name, "/etc/resolv.conf"], check=True)
        self.addCleanup(subprocess.run, ["umount", "/etc/resolv.conf"], check=True)
        with DnsServer("127.0.0.1"):
            found = self.sh("cat /etc/resolv.conf; nslookup db.example", "--network", "user")
        self.assertIn(b"nameserver 10.0.2.3\n", found.stdout, found.stderr)
        self.assertIn(b"10.99.0.7", found.stdout, found.stderr)

    def test_a_router_gives_ipv6_addresses(self):
        with DhcpServer(self.bridge, lease_s=600), Router(self.bridge) as router:
            name = self.start("echo ready; sleep 1000", "--network", f"bridge:{self.bridge}")
            self.await_inside(name, "ip -o -6 addr show eth0 | grep -q ' 2001:db8:77:'")
            self.await_inside(name, "ip -6 route | grep -q '^default via fe80::1 dev eth0'")
            # Who has a static IPv6 address believes no router.
            other = self.start("echo ready; sleep 1000", "--network",
                               f"bridge:{self.bridge},ip=10.213.77.7/24,ip=fd00:77::7/64",
                               name=self.name("static"))
            router.sent = 0
            router.wait_for(3)
            shown = self.inside(other, "ip -o -6 addr show eth0")
            self.assert_ended(shown, 0)
            self.assertIn(b"fd00:77::7/64", shown.stdout)
            self.assertNotIn(b"2001:db8:77:", shown.stdout)

    def test_without_a_server_it_says_so_and_ends(self):
        # The deadline is the thing under test, and 20 s.
        result = self.sh("true", "--network", f"bridge:{self.bridge}")
        self.assert_one_line(result, 125, "get DHCP lease", "eth0", "no DHCP server answered")


class Moves(OnBridge, Migration):
    def await_announcements(self, listening, card, address):
        """By the guest, of its address (ARP, sender and target are the same), and by QEMU, of the card (RARP)."""
        missing = {"ARP", "RARP"}
        while missing:
            frame = listening.recv(2000)
            if frame[6:12] != card or frame[0:6] != b"\xff" * 6:
                continue
            if frame[12:14] == b"\x08\x06" and frame[28:32] == frame[38:42] == address:
                missing.discard("ARP")
            if frame[12:14] == b"\x80\x35":
                missing.discard("RARP")

    def test_neighbours_are_told_and_connections_go_on(self):
        name = self.start("nc -l -p 7 -e cat & echo ready; sleep 1000", "--memory", "64m", "--network",
                          f"bridge:{self.bridge},ip=10.213.77.2/24")
        self.addCleanup(self.empty_there)  # before its client is waited for
        card = bytes.fromhex(inspect(name)["Networks"][0]["MacAddress"].replace(":", ""))

        def connected():  # once it listens, which it says nothing of
            with contextlib.suppress(ConnectionRefusedError):
                return socket.create_connection(("10.213.77.2", 7), timeout=60)

        with until(self, "an open port", connected) as connection:
            connection.sendall(b"before")
            self.assertEqual(connection.recv(100), b"before")
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as listening:
                listening.bind((self.bridge, 3))
                listening.settimeout(60)
                self.migrate(name, HERE, self.there)
                self.await_announcements(listening, card, socket.inet_aton("10.213.77.2"))
            connection.sendall(b"after")
            self.assertEqual(connection.recv(100), b"after")
        self.assert_one_runs(name, self.there)


class DhcpServer:
    """Gives 10.213.77.50 to whoever asks on an interface, and counts what it is asked for."""

    def __init__(self, interface, lease_s, dns=None, domain=b""):
        self.lease = lease_s
        self.dns, self.domain = dns, domain
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
            if self.dns:
                reply += bytes((6, 4)) + socket.inet_aton(self.dns)
            if self.domain:
                reply += bytes((15, len(self.domain))) + self.domain
            reply += bytes((51, 4)) + self.lease.to_bytes(4, "big") + b"\xff"
            self.socket.sendto(reply.ljust(300, b"\0"), ("255.255.255.255", 68))


class DnsServer:
    """Says 10.99.0.7 for every name, and has no other records."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        self.thread = threading.Thread(target=self.serve)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wake:
            wake.sendto(b"", self.socket.getsockname())
        self.thread.join()
        self.socket.close()

    def serve(self):
        while True:
            message, whence = self.socket.recvfrom(2048)
            if not message:
                return
            end = message.index(b"\0", 12) + 5
            known = message[end - 4:end - 2] == b"\0\1"
            reply = message[:2] + b"\x81\x80\0\1" + (b"\0\1" if known else b"\0\0") + bytes(4)
            reply += message[12:end]
            if known:
                reply += b"\xc0\x0c\0\1\0\1" + (60).to_bytes(4, "big") + b"\0\4" + bytes((10, 99, 0, 7))
            self.socket.sendto(reply, whence)


class Router:
    """Advertises 2001:db8:77::/64 and itself, fe80::1, on an interface, some times a second."""

    def __init__(self, interface):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.socket.bind((interface, 0))
        self.sent = 0
        self.stopped = threading.Event()
        self.news = threading.Condition()
        self.thread = threading.Thread(target=self.serve)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()
        self.socket.close()

    def wait_for(self, count):
        with self.news:
            if not self.news.wait_for(lambda: self.sent >= count, timeout=60):
                raise AssertionError("no advertisement was sent")

    def serve(self):
        mac = bytes((2, 0, 0x5e, 0x77, 0, 1))
        prefix = bytes((3, 4, 64, 0xc0)) + (3600).to_bytes(4, "big") * 2 + bytes(4)
        prefix += socket.inet_pton(socket.AF_INET6, "2001:db8:77::")
        body = bytes((134, 0, 0, 0, 64, 0)) + (1800).to_bytes(2, "big") + bytes(8)
        body += bytes((1, 1)) + mac + prefix
        source = socket.inet_pton(socket.AF_INET6, "fe80::1")
        target = socket.inet_pton(socket.AF_INET6, "ff02::1")
        whole = source + target + len(body).to_bytes(4, "big") + bytes((0, 0, 0, 58)) + body
        total = sum(int.from_bytes(whole[i:i + 2], "big") for i in range(0, len(whole), 2))
        while total >> 16:
            total = (total & 0xffff) + (total >> 16)
        body = body[:2] + (~total & 0xffff).to_bytes(2, "big") + body[4:]
        frame = bytes((0x33, 0x33, 0, 0, 0, 1)) + mac + b"\x86\xdd" + bytes((0x60, 0, 0, 0))
        frame += len(body).to_bytes(2, "big") + bytes((58, 255)) + source + target + body
        while not self.stopped.wait(0.3):
            with self.news:
                self.socket.send(frame)
                self.sent += 1
                self.news.notify_all()
