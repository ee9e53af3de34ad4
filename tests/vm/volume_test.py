"""Volumes: disks that outlive containers, and what else is mounted beside the root."""

import json
import os
import signal
import subprocess
import sys
import tarfile

from vch_testing import SOURCE, VCH, VmTest, inspect, vch

sys.path.insert(0, os.path.join(SOURCE, "scripts", "lib"))
from oci_layout import PATH, Layer, Layout  # noqa: E402


class VolumeTest(VmTest):
    def running(self, *arguments, image="busybox"):
        """The name of a container that runs and waits."""
        name = self.name()
        script = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"
        self.assert_ended(
            vch("run", "-d", "--name", name, *arguments, image, "sh", "-c", script), 0)
        return name

    def sh_in(self, name, script):
        return vch("exec", name, "sh", "-c", script)

    def assert_event(self, name, pattern):
        events = vch("events", "--since", "10m", "--until", "0s", "--filter", f"container={name}")
        self.assertRegex(events.stdout.decode(), pattern)


class Volumes(VolumeTest):
    def test_what_is_written_is_there_next_time(self):
        name = self.volume()
        script = "mkdir /data/deep; echo kept >/data/deep/file; chown 12:34 /data/deep/file"
        self.assert_ended(self.sh(script, "-v", f"{name}:/data"), 0, b"", b"")
        self.assert_disk_clean(self.disk_of(name))
        # Read-only is the device's as well: root cannot make it otherwise.
        script = ("cat /else/where/deep/file; stat -c %u:%g /else/where/deep/file;"
                  "touch /else/where/x; echo $?; mount -o remount,rw /else/where; echo $?;"
                  "cat /sys/block/vdc/ro; df -k /else/where")
        result = self.sh(script, "--mount", f"source={name},target=/else/where,readonly")
        self.assert_ended(result, 0)
        first, owner, touched, remounted, device, *rest = result.stdout.decode().splitlines()
        self.assertEqual((first, owner, device), ("kept", "12:34", "1"))
        self.assertNotIn("0", (touched, remounted))
        self.assertLess(int(rest[-1].split()[1]), 65 * 1024)
        self.assertIn(b"Read-only file system", result.stderr)
        self.assertIn(name, vch("volume", "ls").stdout.decode())

    def test_nested_mounts_lie_in_each_other_and_memory_is_as_asked_for(self):
        outer, inner = self.volume("outer"), self.volume("inner")
        script = ("touch /a/outer /a/b/inner /a/b/memory/x; ls /a/b; grep -c ' /a' /proc/mounts;"
                  "stat -c '%a %u %g' /a/b/memory; grep -o 'size=64k' /proc/mounts;"
                  "grep ' /tmp ' /proc/mounts | grep -o 'rw,nosuid,nodev,noexec';"
                  "dd if=/dev/zero of=/a/b/memory/y bs=1k count=100 2>&1 | grep -c 'No space'")
        result = self.sh(script, "--tmpfs", "/a/b/memory:size=64k,mode=1770,uid=3,gid=4,exec",
                         "-v", f"{inner}:/a/b", "-v", f"{outer}:/a", "--tmpfs", "/tmp")
        self.assert_ended(result, 0, b"inner\nmemory\n3\n1770 3 4\nsize=64k\n"
                          b"rw,nosuid,nodev,noexec\n1\n", b"")

    def test_one_in_use_is_refused_and_cannot_be_removed(self):
        volume, name = self.volume(), self.name()
        with subprocess.Popen([VCH, "run", "--name", name, "-i", "-v", f"{volume}:/data", "busybox",
                               "sh", "-c", "echo ready; read line"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            self.assert_one_line(self.sh("true", "-v", f"{volume}:/data"), 125, volume, "in use",
                                 name)
            self.assert_one_line(vch("volume", "rm", volume), 1, volume, "in use")
            self.assert_one_line(vch("volume", "check", volume), 1, volume, "running")
            process.stdin.write(b"\n")
        self.assertEqual(process.returncode, 0)
        self.assert_one_line(vch("volume", "rm", volume), 1, volume, name)
        self.assert_ended(vch("rm", name), 0)
        self.assert_ended(vch("volume", "rm", volume), 0)

    def test_a_disk_that_was_not_unmounted_is_made_good_and_a_damaged_one_refused_by_name(self):
        volume = self.volume()
        name = self.name("killed")
        with subprocess.Popen([VCH, "run", "--name", name, "-v", f"{volume}:/data", "busybox", "sh",
                               "-c", "echo kept >/data/file; sync; echo ready; sleep 1000"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            os.kill(inspect(name)["Machine"]["Pid"], signal.SIGKILL)
        self.assertEqual(process.returncode, 125)
        self.assert_ended(vch("rm", name), 0)
        self.assert_ended(self.sh("cat /data/file", "-v", f"{volume}:/data"), 0, b"kept\n", b"")
        # What it says of itself is wrong, which is safe to put right; then a file has lost its name,
        # and what becomes of it is for somebody to decide.
        debugfs = ["/usr/sbin/debugfs", "-w", "-f", "-", self.disk_of(volume)]
        subprocess.run(debugfs, input=b"ssv free_blocks_count 17\nssv state 2\n", check=True,
                       capture_output=True)
        name = self.name("repaired")
        result = vch("run", "--name", name, "-v", f"{volume}:/data", "busybox", "cat", "/data/file")
        self.assert_ended(result, 0, b"kept\n")
        said = f"volume {volume} was damaged and is repaired"
        self.assertIn(said, result.stderr.decode())
        self.assert_event(name, f"volume_repair .*{said}")
        self.assert_ended(vch("rm", name), 0)
        subprocess.run(debugfs, input=b"write /etc/hosts lost\nunlink lost\nssv state 2\n", check=True,
                       capture_output=True)
        self.assert_one_line(self.sh("true", "-v", f"{volume}:/data"), 125, volume, "--repair")
        self.assert_ended(vch("volume", "check", "--repair", volume), 0)
        self.assert_ended(self.sh("cat /data/file", "-v", f"{volume}:/data"), 0, b"kept\n", b"")


class Commands(VmTest):
    """What needs no machine."""

    def create(self, *arguments):
        result = vch("volume", "create", *arguments)
        self.assert_ended(result, 0, stderr=b"")
        name = result.stdout.decode().strip()
        self.addCleanup(vch, "volume", "rm", "-f", name)
        return name

    def names(self, *arguments):
        return vch("volume", "ls", "-q", *arguments).stdout.decode().split()

    def test_volumes_are_listed_inspected_and_pruned_as_dockers(self):
        name = f"labelled-{os.getpid()}"
        self.create(name, "--size", "8m", "--label", "a=1", "--label", "b")
        anonymous = self.create()
        self.assertEqual(len(anonymous), 64)
        seen = json.loads(vch("volume", "inspect", name).stdout)[0]
        self.assertEqual((seen["Name"], seen["Driver"], seen["Labels"], seen["Size"]),
                         (name, "local", {"a": "1", "b": ""}, 8 << 20))
        result = vch("volume", "inspect", "-f", "{{.Name}} {{.Scope}}", name)
        self.assert_ended(result, 0, f"{name} local\n".encode(), b"")
        self.assertIn(name, self.names("-f", "label=a=1"))
        self.assertNotIn(name, self.names("-f", "label=a=2"))
        self.assertEqual(self.names("-f", f"name={name}"), [name])
        user = self.name()
        self.assert_ended(vch("create", "--name", user, "-v", f"{name}:/data", "-v", "/own",
                              "busybox", "true"), 0)
        own = [v["Name"] for v in inspect(user)["Volumes"] if v.get("Anonymous")]
        self.assertEqual(len(own), 1)
        self.assertNotIn(name, self.names("-f", "dangling=true"))
        self.assertIn(anonymous, self.names("-f", "dangling=true"))
        # Those in use stay, and those with a name.
        result = vch("volume", "prune", "-f", "--filter", f"name={anonymous}")
        self.assert_ended(result, 0, stderr=b"")
        self.assertIn(anonymous, result.stdout.decode())
        self.assertIn("Total reclaimed space:", result.stdout.decode())
        self.assertIn(own[0], self.names())
        self.assert_one_line(vch("volume", "rm", name), 1, name, user)
        self.assert_ended(vch("rm", "-v", user), 0)
        self.assertNotIn(own[0], self.names())
        self.assert_ended(vch("volume", "prune", "-a", "-f", "--filter", f"name={name}"), 0)
        self.assertNotIn(name, self.names())
        self.assert_one_line(vch("volume", "rm", name), 1, name)
        self.assert_ended(vch("volume", "rm", "-f", name), 0)

    def test_host_directories_are_refused_wherever_somebody_would_try_them(self):
        for flags in (["-v", "/srv:/data"], ["-v", "./x:/data"],
                      ["--mount", "type=bind,source=/srv,target=/data"]):
            self.assert_one_line(vch("create", *flags, "busybox", "true"), 125, "host directories",
                                 "vch volume create")
        for command in (["run", "--help"], ["volume", "--help"]):
            self.assertIn("host directories", " ".join(vch(*command).stdout.decode().split()))

    def test_contradictions_are_named(self):
        for flags, words in ((["--ephemeral", "--read-only"], ["--ephemeral", "--read-only"]),
                             (["--root-format", "zip"], ["--root-format", "zip"]),
                             (["--storage-opt", "size=1"], ["--storage-opt", "size=1"]),
                             (["--tmpfs", "/x:what"], ["--tmpfs", "what"]),
                             (["-v", "a:/x", "--tmpfs", "/x"], ["/x"])):
            self.assert_one_line(vch("create", *flags, "busybox", "true"), 125, *words)


class FirstUse(VolumeTest):
    def image(self):
        layer = Layer()
        with open("/bin/busybox", "rb") as file:
            layer.add("bin/busybox", content=file.read(), mode=0o755)
        for tool in ("sh", "ls", "stat", "cat", "find", "touch", "grep", "wc"):
            layer.symlink(f"bin/{tool}", "busybox")
        layer.directory("data", mode=0o2711, uid=7, gid=8)
        owned = {"mode": 0o640, "uid": 1234, "gid": 5678, "mtime": 86400,
                 "xattrs": {"user.colour": b"blue\xff"}}
        layer.add("data/owned", content=b"owned\n", **owned)
        layer.add("data/again", tarfile.LNKTYPE, link="data/owned", **owned)
        layer.add("data/setuid", content=b"x", mode=0o4755, uid=9)
        layer.symlink("data/out", "/etc/passwd")
        layer.add("data/fifo", tarfile.FIFOTYPE, mode=0o622)
        layer.add("data/zero", tarfile.CHRTYPE, mode=0o666, device=(1, 5))
        layer.directory("etc")
        layer.add("etc/passwd", content=b"root:x:0:0::/:/bin/sh\n")
        layer.directory("secret", mode=0o700)
        layer.add("secret/inside", content=b"x")
        layer.directory("skipped")
        layer.add("skipped/inside", content=b"x")
        # Leads elsewhere for whoever does not follow it within the container's root.
        layer.symlink("climb", "/secret")
        out = os.path.join(self.scratch, "image")
        os.makedirs(out)
        config = {"Env": [PATH], "Cmd": ["sh"], "Volumes": {"/data": {}, "/empty": {}}}
        Layout(out).finish([(layer.finish(), "")], config, 1700000000)
        return f"oci:{out}"

    def test_a_new_volume_gets_the_images_content_and_keeps_its_own_afterwards(self):
        image, named, skipped = self.image(), self.volume("named"), self.volume("skipped")
        look = ("cd /data; stat -c '%a %u %g %F' . owned setuid out fifo zero; stat -c '%h %Y' owned;"
                "cat again; ls /skipped | wc -l; touch /data/mine; ls /climb/; grep -c ' /secret ' "
                "/proc/mounts; find /secret")
        wanted = ("2711 7 8 directory\n640 1234 5678 regular file\n4755 9 0 regular file\n"
                  "777 0 0 symbolic link\n622 0 0 fifo\n666 0 0 character special file\n"
                  "2 86400\nowned\n0\ninside\n1\n/secret\n/secret/inside\n")
        climbing = self.volume("climbing")
        flags = ["-v", f"{named}:/data", "-v", f"{climbing}:/climb", "--mount",
                 f"type=volume,source={skipped},target=/skipped,volume-nocopy"]
        before = set(vch("volume", "ls", "-q").stdout.split())
        result = self.sh(look, *flags, image=image)
        self.assertEqual(result.stderr, b"", result.stdout)
        self.assert_ended(result, 0, wanted.encode())
        # The image's own VOLUME went with its container.
        self.assertEqual(set(vch("volume", "ls", "-q").stdout.split()), before)
        xattr = subprocess.run(["/usr/sbin/debugfs", "-R", "ea_get -x owned user.colour",
                                self.disk_of(named)], capture_output=True, check=True)
        self.assertIn(b"62 6c 75 65 ff", xattr.stdout)
        result = self.sh("find /data -name mine; ls /data | wc -l", *flags, image=image)
        self.assert_ended(result, 0, b"/data/mine\n7\n", b"")

    def test_an_interrupted_first_use_begins_anew(self):
        image, named = self.image(), self.volume()
        # As an agent leaves it that dies while it copies: a part, and the mark.
        commands = b"write /etc/hostname owned\nea_set / trusted.tether.filling 1\n"
        subprocess.run(["/usr/sbin/debugfs", "-w", "-f", "-", self.disk_of(named)], input=commands,
                       check=True, capture_output=True)
        result = self.sh("cat /data/owned; ls /data | wc -l", "-v", f"{named}:/data", image=image)
        self.assert_ended(result, 0, b"owned\n6\n", b"")


class Plugged(VolumeTest):
    def test_volumes_come_and_go_while_the_container_runs(self):
        one, two, boot = self.volume("one"), self.volume("two"), self.volume("boot")
        name = self.running("-v", f"{boot}:/boot")
        self.assert_ended(vch("volume", "attach", name, f"{one}:/data/one"), 0, f"{one}\n".encode())
        self.assert_ended(vch("volume", "attach", name, f"{two}:/data/two:ro"), 0)
        script = "echo kept >/data/one/file; touch /data/two/x; grep -c ' /data/' /proc/mounts"
        result = self.sh_in(name, script)
        self.assertEqual(result.stdout, b"2\n", result.stderr)
        self.assertIn(b"Read-only file system", result.stderr)
        # Whoever has it is named, and it is nobody else's.
        self.assert_one_line(self.sh("true", "-v", f"{one}:/x"), 125, one, "in use", name)
        self.assert_one_line(vch("volume", "attach", name, f"{two}:/data/one"), 1, "/data/one")
        holder = subprocess.Popen([VCH, "exec", "-i", name, "sh", "-c",
                                   "cd /data/one; echo ready; read line"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(holder.wait)
        self.addCleanup(holder.stdin.close)
        self.addCleanup(holder.stdout.close)
        self.addCleanup(vch, "kill", name)  # which ends it, whatever fails below
        self.assertEqual(holder.stdout.readline(), b"ready\n")
        self.assert_one_line(vch("volume", "detach", name, "/data/one"), 1, "/data/one",
                             "in use by sh (")
        holder.stdin.close()
        holder.wait()
        result = vch("volume", "detach", name, "/data/one")
        self.assert_ended(result, 0, f"{one}\n".encode(), b"")
        self.assert_ended(self.sh_in(name, "grep -c /data/one /proc/mounts"), 1, b"0\n")
        # It is free at once; one that was there from the start is let go of, and said to stay.
        self.assert_ended(self.sh("cat /x/file", "-v", f"{one}:/x"), 0, b"kept\n", b"")
        result = vch("volume", "detach", name, "/boot")
        self.assert_ended(result, 0, f"{boot}\n".encode())
        self.assertIn(b"until it ends", result.stderr)
        self.assert_ended(vch("volume", "attach", name, f"{one}:/data/back"), 0)
        self.assert_ended(self.sh_in(name, "cat /data/back/file"), 0, b"kept\n", b"")
        for what in ("attach .*path=/data/one,", "detach .*path=/data/one,", "detach .*path=/boot,"):
            self.assert_event(name, f"volume_{what}")
        # At the next start it is there again.
        self.assert_ended(vch("stop", "-t", "5", name), 0)
        self.assert_clean_end(name)
        self.assert_ended(vch("start", name), 0)
        result = self.sh_in(name, "cat /data/back/file; grep -c -e /data/ -e /boot /proc/mounts")
        self.assert_ended(result, 0, b"kept\n2\n", b"")
        self.assert_ended(vch("rm", "-f", name), 0)
