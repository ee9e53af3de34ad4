"""What a container's processes may do and find: users, capabilities, seccomp, limits, /dev, /proc and /sys."""

import json
import os
import re
import unittest

from vch_testing import SOURCE, VmTest, vch

DEFAULT_CAPABILITIES = 0xa80425fb
ALL_CAPABILITIES = (1 << 41) - 1
WAIT = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done")

# x86-64's numbers.
CALLS = {"mount": 165, "unshare": 272, "keyctl": 250, "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425,
         "newer": 1000, "iopl": 172, "add_key": 248}

# Calls by number, all arguments but the first two being 0: prints the errno's name, or ok.
CALLER = r"""
use POSIX; use Errno;
while (@ARGV) {
  my ($number, $first, $second) = (splice(@ARGV, 0, 3));
  $! = 0;
  my $result = syscall($number, $first + 0, $second + 0, 0, 0, 0, 0);
  my ($name) = grep { $!{$_} } keys %!;
  print $result == -1 ? $name : "ok", "\n";
}
"""


def start(test, name, *flags, image="busybox", command=WAIT):
    test.assert_ended(vch("run", "-d", "--name", name, *flags, image, *command), 0)


def status(name, *flags, command=("cat", "/proc/self/status")):
    """A command's own lines of /proc/PID/status."""
    result = vch("exec", *flags, name, *command)
    if result.returncode != 0:
        raise AssertionError(result.stderr.decode())
    return parse_status(result.stdout)


def parse_status(text):
    return dict(line.split(":\t", 1) for line in text.decode().splitlines() if ":\t" in line)


def primary_status(name):
    return status(name, command=("cat", "/proc/1/status"))


def lines(result):
    return result.stdout.decode().splitlines()


class Process(VmTest):
    def shell(self, name, script, *flags):
        return vch("exec", *flags, name, "sh", "-c", script)

    def assert_capabilities(self, found, wanted, root=True):
        self.assertEqual(int(found["CapBnd"], 16), wanted)
        for name in ("CapPrm", "CapEff"):
            self.assertEqual(int(found[name], 16), wanted if root else 0, name)
        for name in ("CapInh", "CapAmb"):
            self.assertEqual(int(found[name], 16), 0, name)

    def calls(self, name, *calls, flags=()):
        """What each call, a name or (name, first, second), comes to in a container that has perl."""
        words = []
        for call in calls:
            call = call if isinstance(call, tuple) else (call, 0, 0)
            words += [str(CALLS[call[0]]), str(call[1]), str(call[2])]
        result = vch("exec", *flags, name, "perl", "-e", CALLER, *words)
        self.assertEqual(result.returncode, 0, result.stderr)
        return lines(result)

    def test_of_an_ordinary_container(self):
        name = self.name()
        start(self, name, image="debian")
        for found in (primary_status(name), status(name)):
            self.assert_capabilities(found, DEFAULT_CAPABILITIES)
            self.assertEqual((found["Seccomp"], found["NoNewPrivs"]), ("2", "0"))
        self.assert_capabilities(status(name, "-u", "33"), DEFAULT_CAPABILITIES, root=False)
        self.assertEqual(
            self.calls(name, "mount", "unshare", "keyctl", "add_key", "bpf", "userfaultfd",
                       "io_uring_setup", ("iopl", 3, 0), "newer"), ["EPERM"] * 8 + ["ENOSYS"])
        # `vch debug` looks for faults: no filter, and what it needs to trace.
        found = parse_status(vch("debug", name, "cat", "/proc/self/status").stdout)
        self.assertEqual(found["Seccomp"], "0")
        self.assertEqual(int(found["CapBnd"], 16), DEFAULT_CAPABILITIES | 1 << 19 | 1 << 12 | 1 << 2)
        # `exec --privileged`: everything, for this command alone.
        found = status(name, "--privileged")
        self.assert_capabilities(found, ALL_CAPABILITIES)
        self.assertEqual(found["Seccomp_filters"], "1")  # the one against perf events of processors
        self.assertEqual(self.calls(name, "unshare", flags=("--privileged",)), ["ok"])
        self.assert_ended(self.shell(name, "mount -t tmpfs none /mnt && umount /mnt", "--privileged"), 0)
        self.assert_capabilities(status(name), DEFAULT_CAPABILITIES)
        self.check_files(name)
        self.check_devices(name)

    def check_files(self, name):
        """/dev, /proc and /sys as OCI has them."""
        self.assertEqual(lines(self.shell(name, "ls /dev")),
                         ["fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
                          "stdout", "tty", "urandom", "zero"])
        self.assertEqual(lines(self.shell(name, "df -k /dev/shm | tail -n 1 | awk '{print $2}'")), ["65536"])
        self.assertEqual(lines(self.shell(name, "stat -c %a /dev/shm; stat -f -c %T /dev/mqueue")),
                         ["1777", "mqueue"])
        for path in ("/proc/acpi", "/sys/firmware", "/proc/scsi"):
            self.assertEqual(lines(self.shell(name, f"[ ! -e {path} ] || ls {path}")), [], path)
        self.assertEqual(lines(self.shell(name, "cat /proc/keys /proc/timer_list 2>/dev/null | wc -c")), ["0"])
        for path in ("/proc/sys/kernel/hostname", "/proc/irq/default_smp_affinity", "/sys/kernel/profiling",
                     "/sys/fs/cgroup/cgroup.procs"):
            result = self.shell(name, f"echo x >{path}")
            self.assertIn(b"ead-only file system", result.stderr, path)
        self.assertEqual(lines(self.shell(name, "cat /proc/self/cgroup; cat /proc/self/oom_score_adj")),
                         ["0::/", "0"])

    def check_devices(self, name):
        """Nodes may be made, but what Docker does not let open stays shut: the link, the disks."""
        script = """
            ports=$(sed -n 's/ virtio-portsdev$//p' /proc/devices)
            disks=$(sed -n 's/ virtblk$//p' /proc/devices)
            for n in "c $ports 1" "c $ports 2" "c 4 64" "c 5 1" "b $disks 0" "c 1 11" "c 1 3"; do
              rm -f /tmp/node
              mknod /tmp/node $n || exit 1
              if (exec 3</tmp/node) 2>/tmp/why; then echo open; else sed 's/.*: //' /tmp/why; fi
            done"""
        for flags in ((), ("--privileged",)):
            self.assertEqual(lines(self.shell(name, script, *flags)),
                             ["Operation not permitted"] * 6 + ["open"], flags)

    def test_of_a_privileged_container_is_all_of_its_machine_but_the_agent(self):
        name = self.name()
        start(self, name, "--privileged", "--sysctl", "vm.swappiness=7", image="debian")
        for found in (primary_status(name), status(name)):
            self.assert_capabilities(found, ALL_CAPABILITIES)
            self.assertEqual((found["Seccomp_filters"], found["NoNewPrivs"]), ("1", "0"))
        self.assertEqual(self.calls(name, "unshare", ("keyctl", 0, -3), "newer"), ["ok", "ok", "ENOSYS"])
        self.assertNotEqual(self.calls(name, "bpf"), ["EPERM"])
        self.assert_ended(self.shell(name, """
            set -e
            [ $(cat /proc/sys/vm/swappiness) = 7 ]
            mount -t tmpfs none /mnt
            echo 8 >/proc/sys/vm/swappiness
            mkdir /sys/fs/cgroup/mine
            head -c 512 /dev/vda >/dev/null
            [ -c /dev/kmsg ]
            [ -b /dev/vda ]"""), 0)
        # Neither by the nodes that are there, nor by those that it makes, nor by I/O ports.
        self.assertEqual(lines(self.shell(name, "ls /dev | grep -E 'vport|ttyS|hvc|console'")), [])
        script = """
            ports=$(sed -n 's/ virtio-portsdev$//p' /proc/devices)
            mknod /tmp/port c $ports 1 && exit 1
            mknod /tmp/serial c 4 64 && exit 1
            mount -t devtmpfs none /mnt || exit 1
            for n in /mnt/vport* /mnt/ttyS0 /mnt/console; do
              (exec 3<>$n) 2>/dev/null && echo $n
            done
            ls /mnt | grep -c vport"""
        ports = lines(self.shell(name, script))
        self.assertEqual(len(ports), 1, ports)
        self.assertGreaterEqual(int(ports[0]), 2)
        self.assertEqual(self.calls(name, ("iopl", 3, 0)), ["EPERM"])
        self.assertEqual(lines(self.shell(name, "ls /sys/firmware/qemu_fw_cfg 2>/dev/null; "
                                                "ls -d /proc/[0-9]*/exe | wc -l; "
                                                "cat /proc/[0-9]*/comm | grep tether")) [1:], [])

    def test_capabilities_limits_groups_and_settings_are_what_was_asked_for(self):
        name = self.name()
        start(self, name, "--cap-drop", "ALL", "--cap-add", "net_admin", "--cap-add", "CAP_CHOWN",
              "--security-opt", "no-new-privileges", "--ulimit", "nofile=1024:2048", "--ulimit", "core=0",
              "--sysctl", "net.core.somaxconn=77", "--sysctl", "kernel.shmmax=12345", "--oom-score-adj", "321",
              "--shm-size", "3m", "--group-add", "audio", "--group-add", "4711", "-u", "www-data",
              "-w", "/made/for/it", "--cgroupns", "host", "--init", "--stop-signal", "INT", "--stop-timeout", "77",
              image="debian")
        self.assertEqual(lines(self.shell(name, "tr '\\0' ' ' </proc/1/comm")), ["init"])
        found = status(name, "-u", "0")
        self.assert_capabilities(found, 1 << 12 | 1 << 0)
        self.assertEqual((found["Seccomp"], found["NoNewPrivs"]), ("2", "1"))
        command = status(name, command=("sh", "-c", "set -- $(cat /proc/1/task/1/children); cat /proc/$1/status"))
        self.assertEqual((command["Seccomp"], command["NoNewPrivs"]), ("2", "1"))
        self.assertEqual(command["Uid"].split()[0], "33")
        self.assertEqual(command["Groups"].split(), ["29", "4711"])
        self.assert_capabilities(command, 1 << 12 | 1 << 0, root=False)
        self.assertEqual(status(name)["Groups"].split(), ["29", "4711"])
        self.assertEqual(lines(self.shell(name, "ulimit -Sn; ulimit -Hn; ulimit -c; pwd; "
                                                "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shmmax "
                                                "/proc/self/oom_score_adj /proc/1/oom_score_adj; "
                                                "df -k /dev/shm | tail -n 1 | awk '{print $2}'; "
                                                "cat /proc/self/cgroup; ls -d /sys/fs/cgroup/agent")),
                         ["1024", "2048", "0", "/made/for/it", "77", "12345", "321", "321", "3072", "0::/container",
                          "/sys/fs/cgroup/agent"])
        self.assertIn(b"ead-only", self.shell(name, "echo 1 >/sys/fs/cgroup/agent/cgroup.freeze", "-u", "0").stderr)
        self.assert_one_line(vch("exec", "--privileged", name, "true"), 1, "exec.privileged", "control groups")

    def test_a_profile_of_its_own_and_none(self):
        profile = os.path.join(self.scratch, "profile.json")
        with open(profile, "w", encoding="ascii") as file:
            json.dump({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
                {"names": ["sync"], "action": "SCMP_ACT_KILL_PROCESS"},
                {"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO",
                 "includes": {"caps": ["CAP_SYS_TIME"]}}]}, file)
        name = self.name()
        start(self, name, "--security-opt", f"seccomp={profile}", "--security-opt", "systempaths=unconfined")
        for _ in range(2):  # the container's command, and another one
            self.assertIn(b"No space left", self.shell(name, "mkdir /x").stderr)
        self.assertEqual(self.shell(name, "sync").returncode, 128 + 31)
        self.assert_ended(self.shell(name, "touch /t && chmod 700 /t"), 0)
        self.assertIn("2", status(name)["Seccomp"])
        # Not hidden, and not write-protected.
        self.assert_ended(self.shell(name, "grep -q . /proc/timer_list || [ ! -e /proc/timer_list ]; "
                                           "echo new >/proc/sys/kernel/domainname"), 0)
        result = self.run_vm("--security-opt", "seccomp=unconfined", "--ulimit", "nofile=2000000:2000000",
                             "busybox", "true")
        self.assert_one_line(result, 125, "nofile", "not permitted")
        result = self.run_vm("--security-opt", "seccomp=unconfined", "--cap-add", "SYS_ADMIN", "busybox", "sh",
                             "-c", "mkdir -p /mnt && mount -t tmpfs none /mnt && cat /proc/self/status")
        self.assertEqual(parse_status(result.stdout)["Seccomp_filters"], "1", result.stderr)
        result = self.run_vm("--security-opt", "seccomp=unconfined", "busybox", "cat", "/proc/self/status")
        self.assertEqual(parse_status(result.stdout)["Seccomp"], "0", result.stderr)

    def test_what_makes_no_sense_is_one_line(self):
        for flags, words in (
                (("--cap-add", "FLY"), ("--cap-add", "FLY")),
                (("--ulimit", "nofile=9:1"), ("primary.ulimits[0].soft", "hard: 1")),
                (("--ulimit", "files=1"), ("primary.ulimits[0].name", "files")),
                (("--sysctl", "vm.swappiness=1"), ("vm.swappiness", "privileged")),
                (("--sysctl", "net.core.somaxconn"), ("--sysctl", "NAME=VALUE")),
                (("--oom-score-adj", "2000"), ("oom_score_adj", "2000")),
                (("--cgroupns", "mine"), ("--cgroupns", "mine")),
                (("--cgroupns", "host", "--privileged"), ("host_cgroup_namespace", "CAP_SYS_ADMIN")),
                (("--security-opt", "seccomp=/no/such.json"), ("/no/such.json",)),
                (("--security-opt", "magic"), ("--security-opt", "magic")),
                (("--shm-size", "much"), ("much",))):
            self.assert_one_line(vch("create", *flags, "busybox", "true"), 125, *words)
        self.assert_one_line(self.run_vm("--group-add", "no-such-group", "busybox", "true"), 125, "no-such-group")
        self.assert_one_line(self.run_vm("--sysctl", "net.no.such=1", "busybox", "true"), 125, "/proc/sys/net/no/such")


class DockersTable(VmTest):
    def test_has_a_full_row_for_every_flag(self):
        with open(os.path.join(SOURCE, "docs", "docker.md"), encoding="utf-8") as file:
            rows = [[cell.strip() for cell in line.strip().strip("|").split("|")]
                    for line in file if line.startswith("|")]
        documented = set()
        for row in rows:
            self.assertEqual(len(row), 4, row)
            self.assertTrue(all(row), row)
            documented.update(re.findall(r"(?<!\S)--?[a-z][a-z-]*", row[0].replace("`", " ").replace(",", " ")))
        for command in ("run", "create", "exec"):
            text = vch(command, "--help").stdout.decode()
            options = text[text.index("ptions:"):].splitlines()
            names = [re.split(r"(?<=\S)  ", line)[0].replace(",", " ") for line in options]
            flags = {flag for name in names if name.startswith("  -")
                     for flag in re.findall(r"(?<!\S)--[a-z][a-z-]*", name)}
            self.assertGreater(len(flags), 5, text)
            self.assertEqual(flags - documented - {"--help", "--net", "--dns-opt", "--no-sig-proxy"}, set(), command)


if __name__ == "__main__":
    unittest.main()
