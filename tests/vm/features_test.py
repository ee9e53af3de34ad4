"""What programs find in the kernel, used in one privileged machine; programs_test.py runs the programs themselves."""

import os
import subprocess

from vch_testing import BUILD, VCH, VmTest, vch

# As the entry points of images with a container runtime in them do: only a group without processes hands controllers
# down. One of vch's own may be there for a moment.
KEEPS_HOUSE = """
mkdir /sys/fs/cgroup/init && echo 0 >/sys/fs/cgroup/init/cgroup.procs
until echo +memory +hugetlb >/sys/fs/cgroup/cgroup.subtree_control; do :; done 2>/dev/null
echo ready
exec sleep 10000
"""

OVERLAY = """
set -e
mkdir -p /data/lower /data/upper /data/work /mnt/overlay
echo a >/data/lower/a; echo b >/data/lower/b
mount -t overlay overlay -o lowerdir=/data/lower,upperdir=/data/upper,workdir=/data/work /mnt/overlay
echo c >>/mnt/overlay/b; rm /mnt/overlay/a
echo "$(ls /mnt/overlay) $(cat /mnt/overlay/b /data/lower/b)"
test -c /data/upper/a
umount /mnt/overlay
"""

# 48 MiB in memory, for a group that may have 16: the rest is in the file.
SWAP = """
set -e
fallocate -l 96M /data/swap; chmod 600 /data/swap; mkswap /data/swap >/dev/null; swapon /data/swap
mkdir /sys/fs/cgroup/small /mnt/memory; echo 16M >/sys/fs/cgroup/small/memory.max
mount -t tmpfs -o size=64m none /mnt/memory
write() { yes 0123456789 | head -c 48M; }
(echo 0 >/sys/fs/cgroup/small/cgroup.procs; write >/mnt/memory/file)
test $(cat /sys/fs/cgroup/small/memory.swap.current) -gt 30000000 && echo swapped
test "$(md5sum </mnt/memory/file)" = "$(write | md5sum)" && echo the same
umount /mnt/memory
swapoff /data/swap
"""


class Features(VmTest):
    @classmethod
    def setUpClass(cls):
        cls.box, cls.data = f"Features-{os.getpid()}", f"features-{os.getpid()}"
        cls.addClassCleanup(vch, "volume", "rm", cls.data)
        cls.addClassCleanup(vch, "rm", "-f", cls.box)
        for command in (("volume", "create", cls.data, "--size", "512m"),
                        ("run", "-d", "--privileged", "--name", cls.box, "-v", f"{cls.data}:/data", "debian", "sh", "-c",
                         KEEPS_HOUSE)):
            result = vch(*command)
            if result.returncode != 0:
                raise AssertionError(result.stderr.decode())
        with subprocess.Popen([VCH, "logs", "-f", cls.box], stdout=subprocess.PIPE) as logs:
            said = logs.stdout.readline()
            logs.kill()
        if said != b"ready\n":
            raise AssertionError(said)
        vch("cp", os.path.join(BUILD, "tests", "kernel_features"), f"{cls.box}:/kernel_features")

    def shell(self, script, *flags):
        return vch("exec", *flags, self.box, "sh", "-c", script)

    def test_io_uring_on_the_root_and_on_a_volume(self):
        self.assert_ended(self.shell("/kernel_features io_uring /root && /kernel_features io_uring /data"), 0, b"ok\nok\n")

    def test_huge_pages_reserved_and_used(self):
        self.assert_ended(self.shell("echo 8 >/proc/sys/vm/nr_hugepages && /kernel_features huge 16"), 0, b"ok\n")
        limited = self.shell("mkdir /sys/fs/cgroup/huge && echo 8M >/sys/fs/cgroup/huge/hugetlb.2MB.rsvd.max && "
                             "(echo 0 >/sys/fs/cgroup/huge/cgroup.procs; /kernel_features huge 16)")
        self.assertIn(b"mmap of huge pages", limited.stdout + limited.stderr)
        self.assert_ended(limited, 1)
        self.assert_ended(self.shell("mkdir /mnt/huge && mount -t hugetlbfs none /mnt/huge && umount /mnt/huge"), 0)
        self.assert_ended(self.shell("echo 0 >/proc/sys/vm/nr_hugepages && grep ^HugePages_Total /proc/meminfo"), 0,
                          b"HugePages_Total:       0\n")

    def test_ebpf_on_a_socket_and_on_a_control_group(self):
        self.assert_ended(self.shell("/kernel_features socket_filter"), 0, b"ok\n")
        self.assert_ended(self.shell("/kernel_features cgroup_filter /sys/fs/cgroup/filtered"), 0, b"ok\n")

    def test_overlay(self):
        self.assert_ended(self.shell(OVERLAY), 0, b"b b\nc\nb\n")

    def test_swap_on_a_volume(self):
        self.assert_ended(self.shell(SWAP), 0, b"swapped\nthe same\n")

    def test_everybody_may_open_what_makes_file_systems_and_interfaces(self):
        self.assert_ended(vch("exec", "-u", "nobody", self.box, "sh", "-c", ": <>/dev/fuse && : <>/dev/net/tun"), 0)

    def test_what_comes_later_goes_beside_the_first_process(self):
        """Every way in: by the launcher that stays, by one of its own, with a terminal, files, and a shell of ours.

        Before controllers are handed down too, since whoever sits in the upper group keeps them from that."""
        self.addCleanup(self.shell, "echo +memory +hugetlb >/sys/fs/cgroup/cgroup.subtree_control")
        for control in ("+memory +hugetlb", "-memory -hugetlb"):
            self.assert_ended(self.shell(f"echo {control} >/sys/fs/cgroup/cgroup.subtree_control"), 0)
            for flags in ((), ("-t",), ("--privileged",)):
                result = self.shell("cat /proc/self/cgroup", *flags)
                self.assert_ended(result, 0)
                self.assertEqual(result.stdout.strip(), b"0::/init", (control, flags))
        self.assert_ended(self.shell("echo +memory >/sys/fs/cgroup/cgroup.subtree_control"), 0)
        path = os.path.join(self.scratch, "hostname")
        self.assert_ended(vch("cp", f"{self.box}:/etc/hostname", path), 0)
        self.assertTrue(os.path.getsize(path))
        self.assert_ended(vch("debug", self.box, "echo", "here"), 0, b"here\n")


class Restarted(VmTest):
    def test_one_that_keeps_house_is_restarted(self):
        """Its group hands controllers down to others, and could have no processes of its own any more."""
        name = self.name()
        script = KEEPS_HOUSE.replace("exec sleep 10000", """
            mkdir /sys/fs/cgroup/init/deep /sys/fs/cgroup/other
            echo +memory >/sys/fs/cgroup/other/cgroup.subtree_control
            mkdir /sys/fs/cgroup/other/deeper
            exit 3""")
        self.assert_ended(vch("run", "-d", "--privileged", "--restart", "on-failure:2", "--name", name, "busybox",
                              "sh", "-c", script), 0)
        self.assert_ended(vch("wait", name), 0, b"3\n")
        self.assert_ended(vch("logs", name), 0, b"ready\n" * 3)
