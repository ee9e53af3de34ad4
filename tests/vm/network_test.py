"""Networks: what a container reaches, who reaches it, and what it finds written about itself."""

import contextlib
import socket
import subprocess
import threading
import urllib.request

from vch_testing import VCH, VmTest, inspect, vch

SERVER = "mkdir /www; echo hello >/www/index.html; httpd -p 80 -h /www; echo ready; sleep 1000"


@contextlib.contextmanager
def host_server(answer, family=socket.AF_INET):
    """Says `answer` to everybody who connects to the loopback interface; gives its port."""
    address = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    with socket.create_server((address, 0), family=family) as listening:
        def serve():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


class NetworkTest(VmTest):
    def start(self, script, *flags, name=None, image="busybox"):
        """A container that has said `ready`."""
        name = name or self.name()
        process = subprocess.Popen([VCH, "run", "--name", name, *flags, image, "sh", "-c",
                                    script], stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(vch, "kill", name)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return name

    def inside(self, name, script):
        return vch("exec", name, "sh", "-c", script)


class UserNetwork(NetworkTest):
    def test_a_published_port_leads_in(self):
        name = self.start(SERVER, "-p", "127.0.0.1::80", "-p", "127.0.0.1::81")
        where = vch("port", name, "80").stdout.decode().strip()
        self.assertRegex(where, r"^127\.0\.0\.1:\d+$")
        with urllib.request.urlopen(f"http://{where}/", timeout=60) as page:
            self.assertEqual(page.read(), b"hello\n")
        told = inspect(name)
        self.assertEqual(told["Ports"]["80/tcp"],
                         [{"HostIp": "127.0.0.1", "HostPort": where.split(":")[1]}])
        self.assertEqual(told["Networks"][0]["Addresses"], ["10.0.2.15/24", "fec0::15/64"])
        self.assert_one_line(vch("port", name, "99"), 1, "99/tcp", name)
        # Whoever has a port keeps it.
        port = where.split(":")[1]
        self.assert_one_line(self.sh("true", "-p", f"127.0.0.1:{port}:80"), 125, port, "in use")

    def test_a_published_port_may_be_udp(self):
        echo = """perl -e 'use Socket; socket(S, PF_INET, SOCK_DGRAM, 0);
            bind(S, sockaddr_in(53, INADDR_ANY)); syswrite(STDOUT, "ready\\n");
            while ($from = recv(S, $text, 99, 0)) { send(S, $text, 0, $from) }'"""
        name = self.start(echo, "-p", "127.0.0.1::53/udp", image="debian")
        host, port = vch("port", name, "53/udp").stdout.decode().strip().split(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(1)
            asking.connect((host, int(port)))
            for _ in range(60):  # datagrams may be lost, and nobody listens at first
                try:
                    asking.send(b"echo")
                    self.assertEqual(asking.recv(100), b"echo")
                    break
                except (TimeoutError, ConnectionRefusedError):
                    continue
            else:
                self.fail("no answer")

    def test_the_host_is_reached(self):
        with host_server(b"from the host\n") as port:
            self.assert_ended(self.sh(f"nc 10.0.2.2 {port}"), 0, b"from the host\n", b"")

    def test_the_host_is_reached_by_ipv6(self):
        try:
            with host_server(b"by six\n", socket.AF_INET6) as port:
                self.assert_ended(self.sh(f"nc fec0::2 {port}"), 0, b"by six\n", b"")
        except OSError as error:
            self.skipTest(f"this host has no IPv6: {error}")

    def test_none_is_the_loopback_interface_alone(self):
        script = """ls /sys/class/net; ip route; grep -c ^nameserver /etc/resolv.conf
            ping -c1 127.0.0.1 >/dev/null && echo up"""
        self.assert_ended(self.sh(script, "--network", "none"), 0, b"lo\n0\nup\n", b"")

    def test_a_network_comes_and_goes_while_it_runs(self):
        name = self.start("echo ready; sleep 1000", "--network", "none")
        with host_server(b"by the new one\n") as port:
            self.assert_ended(vch("network", "connect", name, "user,policy=outbound,mtu=1400"), 0,
                              b"eth0\n", b"")
            self.assert_ended(self.inside(name, f"nc 10.0.2.2 {port}; cat /sys/class/net/eth0/mtu"),
                              0, b"by the new one\n1400\n")
            self.assertEqual(inspect(name)["Networks"][0]["Addresses"],
                             ["10.0.2.15/24", "fec0::15/64"])
            server = "until {} grep -q '^nameserver 10.0.2.3$' /etc/resolv.conf; do usleep 50000; done"
            self.assert_ended(self.inside(name, server.format("")), 0, b"")
            again = vch("network", "connect", name, "user")
            self.assert_one_line(again, 1, "disconnect")
            self.assert_one_line(vch("network", "disconnect", name, "eth7"), 1, "eth7", "eth0")
            self.assert_ended(vch("network", "disconnect", name, "user"), 0, b"eth0\n", b"")
            self.assert_ended(self.inside(name, server.format("!")), 0, b"")
            self.assert_ended(self.inside(name, "ls /sys/class/net"), 0, b"lo\n")
            self.assertEqual(inspect(name)["Networks"], [])
            # By DHCP this time, and it is there after the next start.
            self.assert_ended(vch("network", "connect", name, "user,dhcp,interface=lan"), 0,
                              b"lan\n", b"")
            leased = "until ip -o -4 addr show lan | grep -q 10.0.2.15; do usleep 50000; done"
            self.assert_ended(self.inside(name, f"{leased}; nc 10.0.2.2 {port}"), 0,
                              b"by the new one\n")
        events = vch("events", "--since", "10m", "--until", "0s", name).stdout.decode()
        self.assertIn("address=eth0 lost 10.0.2.15/24", events)
        self.assertIn("address=lan 10.0.2.15/24", events)
        self.assert_ended(vch("stop", "-t", "0", name), 0)
        self.assert_ended(vch("start", name), 0)
        self.assert_ended(self.inside(name, leased), 0, b"")

    def test_one_that_was_there_from_the_start_loses_its_cable(self):
        name = self.start("echo ready; sleep 1000")
        self.assert_ended(vch("network", "disconnect", name, "eth0"), 0, b"eth0\n", b"")
        self.assert_ended(self.inside(name, "ip -o addr show up; ip route"), 0)
        with host_server(b"reached\n") as port:
            self.assertNotEqual(self.inside(name, f"nc -w 1 10.0.2.2 {port}").returncode, 0)
            self.assert_ended(vch("network", "connect", name, "user"), 0, b"eth0\n", b"")
            self.assert_ended(self.inside(name, f"nc 10.0.2.2 {port}"), 0, b"reached\n")

    def test_names_are_as_asked_for(self):
        script = "cat /etc/hosts /etc/resolv.conf; hostname; hostname -i"
        result = self.sh(script, "--hostname", "box.example", "--add-host", "db:192.0.2.7",
                         "--add-host", "host:host-gateway", "--dns", "192.0.2.53", "--dns-search",
                         "a.example", "--dns-option", "ndots:2")
        self.assert_ended(result, 0, stderr=b"")
        found = result.stdout.decode()
        for line in ("10.0.2.15\tbox.example box", "192.0.2.7\tdb", "10.0.2.2\thost",
                     "127.0.0.1 localhost",  # the image's own
                     "nameserver 192.0.2.53", "search a.example", "options ndots:2", "box.example"):
            self.assertIn(f"{line}\n", found)
        self.assertNotIn("nameserver 10.0.2.3", found)
        self.assertEqual(found.splitlines()[-1].split()[0], "10.0.2.15")

    def test_two_interfaces_have_names_addresses_and_mtu_of_their_own(self):
        script = """ip -o -4 addr show; cat /sys/class/net/lan/mtu /sys/class/net/lan/address
            ip route show default"""
        result = self.sh(script, "--network", "user", "--network",
                         "user,interface=lan,mtu=1400,mac=02:00:5e:10:00:07")
        self.assert_ended(result, 0, stderr=b"")
        text = result.stdout.decode()
        self.assertRegex(text, r"eth0 +inet 10\.0\.2\.15/24")
        self.assertRegex(text, r"lan +inet 10\.0\.3\.15/24")
        self.assertIn("\n1400\n02:00:5e:10:00:07\n", text)
        self.assertIn("default via 10.0.2.2 dev eth0", text)
        self.assertIn("default via 10.0.3.2 dev lan  metric 100", text)

    def test_a_route_nobody_can_take_is_named(self):
        result = self.sh("true", "--network", "user,route=10.9.0.0/16 via 172.16.0.1")
        self.assert_one_line(result, 125, "configure network interface",
                             "eth0: route 10.9.0.0/16 via 172.16.0.1", "unreachable", "gateway")


    def test_dhcp_gives_what_the_static_configuration_would(self):
        script = """ip -o -4 addr show; ip route show default; grep nameserver /etc/resolv.conf
            hostname -i; nc 10.0.2.2 $0"""
        with host_server(b"from the host\n") as port:
            result = self.run_vm("--network", "user,dhcp", "--network", "user,dhcp", "busybox",
                                 "sh", "-c", script, str(port))
        self.assert_ended(result, 0, stderr=b"")
        text = result.stdout.decode()
        self.assertRegex(text, r"eth0 +inet 10\.0\.2\.15/24 .* dynamic")
        self.assertRegex(text, r"eth1 +inet 10\.0\.3\.15/24 .* dynamic")
        self.assertIn("default via 10.0.2.2 dev eth0", text)
        self.assertIn("nameserver 10.0.2.3\nnameserver 10.0.3.3\n10.0.2.15", text)
        self.assertTrue(text.endswith("from the host\n"), text)

    def test_policies_say_what_goes_out(self):
        with host_server(b"reached\n") as port:
            script = f"nc 10.0.2.2 {port} 2>&1; nc 192.0.2.1 80 2>&1; echo end"
            refused = b"nc: can't connect to remote host (%s): Connection refused\n"
            for policy, near in (("outbound", b"reached\n"), ("published", b"reached\n"),
                                 ("peers", b"reached\n"), ("closed", refused % b"10.0.2.2")):
                with self.subTest(policy=policy):
                    result = self.sh(script, "--network", f"user,policy={policy}")
                    self.assert_ended(result, 0, near + refused % b"192.0.2.1" + b"end\n", b"")


class Flags(VmTest):
    def test_what_makes_no_sense_is_said_before_anything_starts(self):
        for flags, words in (
            (("--network", "host"), ("host", "bridge:NAME")),
            (("--network", "user,ip=10.0.0.1/8"), ("own addresses",)),
            (("-p", "80:80:80:80"), ("-p", "80:80:80:80")),
            (("--network", "none", "-p", "80:80"), ("-p", "user")),
            (("--add-host", "x"), ("--add-host", "NAME:ADDRESS")),
            (("--network", "bridge:no-such-br,ip=10.1.2.3/24"), ("no-such-br", "ip link add")),
        ):
            with self.subTest(flags=flags):
                self.assert_one_line(self.sh("true", *flags), 125, *words)
