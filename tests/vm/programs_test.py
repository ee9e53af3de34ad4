"""Real programs that ask much of a kernel: what bootstrap-kernel/ leaves out must not be theirs. Slow, not run every day.

PostgreSQL, nginx and redis are in services_test.py; io_uring, huge pages, swap and overlays in features_test.py.
"""

import os
import subprocess

from features_test import KEEPS_HOUSE
from vch_testing import VCH, VmTest, inspect, vch

IMAGE = "programs"

NODE = """
node -e '
const http = require("http"), { Worker } = require("worker_threads"), crypto = require("crypto"), fs = require("fs");
fs.watch("/data", () => {}).close();
const server = http.createServer((request, answer) => request.pipe(crypto.createHash("sha256")).pipe(answer));
server.listen(0, "::1", async () => {
  const worker = new Worker("require(\\"worker_threads\\").parentPort.postMessage(6 * 7)", { eval: true });
  worker.once("message", (message) => {
    const request = http.request({ host: "::1", port: server.address().port, method: "POST" }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => {
        console.log(message, Buffer.concat(parts).toString("hex"));
        console.log(require("child_process").execFileSync("echo", ["child"]).toString().trim());
        server.close();
      });
    });
    request.end("x".repeat(1 << 20));
  });
});'
"""
NODE_SAYS = b"42 8f990ba0b577b51cf009ea049368c16bbda1b21e1b93be07a824758bb253c39b\nchild\n"

FUSE = """
set -e
mkdir -p /mnt/ext4 /mnt/both /data/low /data/up /data/work
truncate -s 16M /data/image; mkfs.ext4 -q /data/image
fuse2fs /data/image /mnt/ext4
echo by fuse2fs >/mnt/ext4/file; cat /mnt/ext4/file
fusermount3 -u /mnt/ext4
e2fsck -fn /data/image >/dev/null 2>&1
echo below >/data/low/file
fuse-overlayfs -o lowerdir=/data/low,upperdir=/data/up,workdir=/data/work /mnt/both
cat /mnt/both/file; echo above >/mnt/both/file; cat /data/low/file /data/up/file
fusermount3 -u /mnt/both
"""

# Two machines of one address each, behind this one: what leaves is masqueraded (the second knows no way back to the
# first), what comes to a port is sent on.
# Docker leaves rules that forward nothing.
NFTABLES = """
set -e
nft flush ruleset
for side in a b; do
  ip netns add $side
  ip link add to-$side type veth peer name eth0 netns $side
  ip -n $side link set lo up; ip -n $side link set eth0 up
done
ip link add bridge type bridge; ip link set bridge up
ip link set to-a master bridge; ip link set to-a up; ip addr add 192.0.2.1/24 dev bridge
ip addr add 198.51.100.1/24 dev to-b; ip link set to-b up
ip -n a addr add 192.0.2.2/24 dev eth0; ip -n a route add default via 192.0.2.1
ip -n b addr add 198.51.100.2/24 dev eth0
echo 1 >/proc/sys/net/ipv4/ip_forward
nft -f - <<'END'
table inet rules {
  set denied {
    type ipv4_addr; flags interval
    elements = { 203.0.113.0/24 }
  }
  map ports {
    type inet_service : ipv4_addr . inet_service
    elements = { 8080 : 198.51.100.2 . 80 }
  }
  chain before {
    type nat hook prerouting priority dstnat
    fib daddr type local dnat ip to tcp dport map @ports
  }
  chain passing {
    type filter hook forward priority filter; policy drop
    ct state established,related accept
    ip daddr @denied counter drop
    tcp dport 81 limit rate 10/second log prefix "refused " reject with tcp reset
    iifname "bridge" oifname "to-b" meta l4proto { tcp, icmp } counter accept
  }
  chain after {
    type nat hook postrouting priority srcnat
    oifname "to-b" masquerade
  }
}
END
mkdir -p /data/www; echo served >/data/www/index.html
ip netns exec b busybox httpd -h /data/www
until ip netns exec a busybox wget -qO - http://192.0.2.1:8080/; do :; done
ip netns exec a busybox ping -c 1 198.51.100.2 >/dev/null && echo reached
ip netns exec a busybox wget -qO - http://198.51.100.2:81/ 2>&1 | grep -o refused
nft list chain inet rules passing | grep -c 'packets [1-9]'
nft flush ruleset
iptables -A INPUT -m conntrack --ctstate ESTABLISHED -m comment --comment 'of old' -j ACCEPT
iptables -A INPUT -p tcp -m multiport --dports 25,465 -m limit --limit 5/min -j LOG
iptables -A INPUT -p tcp --dport 25 -j REJECT --reject-with icmp-port-unreachable
ip6tables -A INPUT -p tcp --dport 25 -j REJECT --reject-with tcp-reset
iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -p tcp --dport 8080 -j DNAT --to-destination 198.51.100.2:80
iptables -t nat -A POSTROUTING -o to-b -j MASQUERADE
ip netns exec a busybox wget -qO - http://192.0.2.1:8080/
busybox httpd -p 25 -h /data/www
ip addr add 2001:db8::1/64 dev bridge nodad; ip -n a addr add 2001:db8::2/64 dev eth0 nodad
ip netns exec a busybox wget -qO - http://192.0.2.1:25/ 2>&1 | grep -o refused
ip netns exec a busybox wget -qO - 'http://[2001:db8::1]:25/' 2>&1 | grep -o refused
"""
NFTABLES_SAYS = b"served\nreached\nrefused\n1\nserved\nrefused\nrefused\n"

FILTER = """
#include <linux/bpf.h>
#define SECTION(name) __attribute__((section(name), used))
struct {
  int (*type)[BPF_MAP_TYPE_ARRAY];
  unsigned* key;
  unsigned long long* value;
  int (*max_entries)[3];
} counts SECTION(".maps");
static void* (*lookup)(void*, const void*) = (void*)BPF_FUNC_map_lookup_elem;
static __attribute__((always_inline)) void count(unsigned which) {
  unsigned long long* value = lookup(&counts, &which);
  if (value) __sync_fetch_and_add(value, 1);
}
SECTION("xdp") int at_xdp(struct xdp_md* context) { count(0); return XDP_PASS; }
SECTION("tc") int at_tc(struct __sk_buff* packet) { count(1); return 0; }
SECTION("cgroup_skb/egress") int at_cgroup(struct __sk_buff* packet) { count(2); return 1; }
"""
EBPF = """
set -e
mount -t bpf bpf /sys/fs/bpf
bpftool prog loadall /filter.o /sys/fs/bpf/programs pinmaps /sys/fs/bpf/maps 2>/dev/null
ip link add x type veth peer name y; ip link set y up; ip link set x up
ip addr add 203.0.113.1/24 dev x; ip neigh add 203.0.113.2 lladdr 02:00:00:00:00:02 dev x
tc qdisc add dev x clsact
tc filter add dev x egress bpf direct-action object-pinned /sys/fs/bpf/programs/at_tc
bpftool net attach xdp pinned /sys/fs/bpf/programs/at_xdp dev y
mkdir /sys/fs/cgroup/counted
bpftool cgroup attach /sys/fs/cgroup/counted egress pinned /sys/fs/bpf/programs/at_cgroup
(echo 0 >/sys/fs/cgroup/counted/cgroup.procs; echo hello >/dev/udp/203.0.113.2/9)
for key in 0 1 2; do
  until bpftool map lookup pinned /sys/fs/bpf/maps/counts key $key 0 0 0 | grep -q '"value": [1-9]'; do :; done
done
echo counted
ip link del x
"""

# The same bundle by both, and by the second once more as somebody who is root in there alone.
RUNTIMES = """
set -e
mkdir -p /data/bundle/root/bin /data/bundle/root/proc; cd /data/bundle
cp /bin/busybox root/bin; for name in sh cat id hostname; do ln -sf busybox root/bin/$name; done
for runtime in runc crun; do
  rm -f config.json; $runtime spec
  sed -i 's/"terminal": true/"terminal": false/; s/"sh"$/"sh", "-c", "hostname; id -u; echo $$"/; s/"rootfs"/"root"/' config.json
  $runtime run made-by-$runtime
done
chown -R 1000:1000 /data/bundle; rm config.json
setpriv --reuid 1000 --regid 1000 --clear-groups env XDG_RUNTIME_DIR=/data/bundle unshare --user --map-root-user --pid --fork \
  --mount --mount-proc sh -c 'id -u; mount -t tmpfs none /mnt && echo mounted'
"""
RUNTIMES_SAY = b"runc\n0\n1\ncrun\n0\n1\n0\nmounted\n"

DOCKER = """
set -e
trap 'tail -n 20 /data/dockerd.log >&2' ERR
# By itself: dockerd would wait for its own for 15 s at most, and an emulated machine may take longer.
containerd >/data/containerd.log 2>&1 &
until [ -S /run/containerd/containerd.sock ]; do kill -0 $!; sleep 0.2; done
dockerd --containerd /run/containerd/containerd.sock --data-root /data/docker >/data/dockerd.log 2>&1 &
until [ -S /run/docker.sock ]; do kill -0 $!; sleep 0.2; done
docker info -f '{{.Driver}} {{.CgroupVersion}}'
mkdir -p /data/tree/bin; cp /bin/busybox /data/tree/bin; ln -sf busybox /data/tree/bin/sh
tar -C /data/tree -c . | docker import - small >/dev/null
docker run --rm --memory 64m --cpus 0.5 --pids-limit 20 small sh -c 'busybox id -u; busybox cat /sys/fs/cgroup/memory.max'
docker network create other >/dev/null
docker run -d --name web --network other -p 8088:80 small sh -c 'echo from inside >/index.html; busybox httpd -f -h /' >/dev/null
until busybox wget -qO - http://127.0.0.1:8088/index.html; do docker exec web true; done
docker run --rm --network other small busybox wget -qO - http://web/index.html
docker stop -t 1 web >/dev/null; docker rm web >/dev/null
kill %2; wait %2 || true; kill %1; wait
"""
DOCKER_SAYS = b"overlay2 2\n0\n67108864\nfrom inside\nfrom inside\n"


def must(*command):
    result = vch(*command)
    if result.returncode != 0:
        raise AssertionError(result.stderr.decode())


class Programs(VmTest):
    """One machine: each test is a program, or what belongs together."""

    @classmethod
    def setUpClass(cls):
        cls.box, cls.data = f"Programs-{os.getpid()}", f"programs-{os.getpid()}"
        cls.addClassCleanup(vch, "volume", "rm", cls.data)
        cls.addClassCleanup(vch, "rm", "-f", cls.box)
        must("volume", "create", cls.data, "--size", "2g")
        must("run", "-d", "--privileged", "--name", cls.box, "--memory", "1g", "--cpus", "2", "-v", f"{cls.data}:/data", IMAGE,
             "sh", "-c", KEEPS_HOUSE.replace("+memory", "+cpu +memory +pids +io"))
        with subprocess.Popen([VCH, "logs", "-f", cls.box], stdout=subprocess.PIPE) as logs:
            said = logs.stdout.readline()
            logs.kill()
        if said != b"ready\n":
            raise AssertionError(said)

    def bash(self, script, says):
        self.assert_ended(vch("exec", self.box, "bash", "-c", script), 0, says)

    def test_node(self):
        self.bash(NODE, NODE_SAYS)

    def test_fuse(self):
        self.bash(FUSE, b"by fuse2fs\nbelow\nbelow\nabove\n")

    def test_nftables_and_iptables(self):
        self.bash(NFTABLES, NFTABLES_SAYS)

    def test_ebpf_by_bpftool_and_tc(self):
        source, made = os.path.join(self.scratch, "filter.c"), os.path.join(self.scratch, "filter.o")
        with open(source, "w", encoding="ascii") as file:
            file.write(FILTER)
        subprocess.run(["clang", "-target", "bpf", "-O2", "-g", "-I/usr/include/x86_64-linux-gnu", "-c", source, "-o", made],
                       check=True)
        self.assert_ended(vch("cp", made, f"{self.box}:/filter.o"), 0)
        self.bash(EBPF, b"counted\n")

    def test_container_runtimes(self):
        self.bash(RUNTIMES, RUNTIMES_SAY)

    def test_docker(self):
        self.bash(DOCKER, DOCKER_SAYS)


class Systemd(VmTest):
    def systemd_run(self, name, *command):
        return vch("exec", name, "systemd-run", "--wait", "--pipe", "-q", *command)

    def test_is_the_first_process_of_a_container_and_runs_units_in_their_sandboxes(self):
        name = self.name()
        must("run", "-d", "--privileged", "--name", name, "--memory", "512m", "--cpus", "2", "-e", "container=docker",
             "--stop-signal", "RTMIN+3", IMAGE, "/sbin/init")
        # Here from the beginning on, it keeps no unit from its limits.
        early = subprocess.Popen([VCH, "exec", name, "sleep", "10000"])
        self.addCleanup(early.wait)
        self.addCleanup(early.terminate)
        # Without an answer, or "offline", while its bus is not there yet.
        while (state := vch("exec", name, "systemctl", "is-system-running", "--wait").stdout.strip()) in (b"", b"offline"):
            self.assertEqual(inspect(name)["State"], "running")
        self.assertEqual(state, b"running", vch("exec", name, "systemctl", "--failed", "--no-pager").stdout)
        result = self.systemd_run(
            name, "-p", "DynamicUser=yes", "-p", "ProtectSystem=strict", "-p", "PrivateTmp=yes", "-p", "PrivateDevices=yes",
            "-p", "PrivateNetwork=yes", "-p", "PrivateUsers=yes", "-p", "ProtectKernelTunables=yes", "-p", "MemoryMax=64M",
            "-p", "CPUQuota=50%", "-p", "TasksMax=20", "-p", "SystemCallFilter=@system-service", "-p", "RestrictNamespaces=yes",
            "sh", "-c", "test $(id -u) -gt 60000 && echo another user; grep -c : /proc/net/dev; "
            "touch /etc/x 2>/dev/null || echo protected; ls -A /tmp; "
            "cd /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup) && cat memory.max pids.max cpu.max")
        self.assert_ended(result, 0, b"another user\n1\nprotected\n67108864\n20\n50000 100000\n")
        ping = ("busybox", "ping", "-c", "1", "-W", "60", "127.0.0.1")
        self.assert_ended(self.systemd_run(name, "-p", "IPAddressDeny=localhost", *ping[:-2], "1", ping[-1]), 1)
        self.assert_ended(self.systemd_run(name, *ping), 0)
        script = ("systemd-run -q --on-active=1 touch /run/by-timer && until [ -e /run/by-timer ]; do :; done && "
                  "journalctl -b -q -o cat -u init.scope | head -c 0 && loginctl --no-legend list-sessions")
        self.assert_ended(vch("exec", name, "sh", "-c", script), 0)
        self.assert_ended(vch("stop", "-t", "120", name), 0)
        # What halts a pid namespace ends its first process by SIGINT, under Docker too.
        self.assertEqual(inspect(name)["ExitCode"], 130)
