"""`vch run`: streams, exit codes, and what the command finds when it wakes."""

import hashlib
import os
import subprocess

from vch_testing import FULL, VCH, VmTest, inspect, vch

MIB = 1 << 20


def lines(result):
    return dict(line.split("=", 1) for line in result.stdout.decode().splitlines() if "=" in line)


class Streams(VmTest):
    def test_each_stream_arrives_by_itself_with_the_exit_code(self):
        self.assert_ended(self.sh("echo out; echo err >&2; exit 7"), 7, b"out\n", b"err\n")

    def test_many_mib_arrive_unchanged_and_stderr_beside_them(self):
        wanted = (256 if FULL else 64) * MIB
        script = f"""
            head -c {wanted} /dev/urandom >/tmp/bytes
            sha256sum </tmp/bytes >&2
            {{ while [ ! -e /tmp/done ]; do echo beside >&2; usleep 100000; done; }} &
            cat /tmp/bytes; touch /tmp/done; wait
            echo last >&2"""
        digest, size = hashlib.sha256(), 0
        with open(os.path.join(self.scratch, "stderr"), "wb") as stderr, subprocess.Popen(
            [VCH, "run", "--rm", "busybox", "sh", "-c", script], stdout=subprocess.PIPE,
            stderr=stderr) as process:
            while piece := process.stdout.read(MIB):
                digest.update(piece)
                size += len(piece)
        with open(os.path.join(self.scratch, "stderr"), encoding="ascii") as file:
            stderr = file.read().splitlines()
        self.assertEqual(process.returncode, 0, stderr[-3:])
        self.assertEqual(size, wanted)
        self.assertEqual(stderr[0].split()[0], digest.hexdigest())
        self.assertEqual(stderr[-1], "last")
        self.assertIn("beside", stderr[1:-1])
        self.assertEqual(set(stderr[1:-1]), {"beside"})

    def test_nothing_is_added_to_or_taken_from_bytes(self):
        every_byte = bytes(range(256)) * 5 + b"no newline at the end"
        result = self.run_vm("-i", "busybox", "cat", stdin=every_byte)
        self.assert_ended(result, 0, every_byte, b"")

    def test_output_of_children_that_outlive_the_command_does_not_hold_it(self):
        result = self.sh("sleep 1000 & echo $!; exit 3")
        self.assertEqual(result.returncode, 3)
        self.assertRegex(result.stdout.decode(), r"^\d+\n$")

    def test_stdin_is_empty_unless_asked_for(self):
        self.assert_ended(self.run_vm("busybox", "cat", stdin=b"not wanted"), 0, b"", b"")


class ExitCodes(VmTest):
    def test_a_killed_command_is_128_and_the_signal(self):
        name = self.name()
        with subprocess.Popen([VCH, "run", "--name", name, "busybox", "sh", "-c",
                               "echo ready; sleep 1000"], stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            self.assert_ended(vch("kill", name), 0)
        self.assertEqual(process.returncode, 137)
        self.assertEqual(inspect(name)["ExitSignal"], 9)

    def test_a_command_that_is_not_there_is_127(self):
        self.assert_one_line(self.run_vm("busybox", "no-such-program"), 127, "no-such-program",
                             "find program", "No such file")

    def test_a_command_that_cannot_be_executed_is_126(self):
        self.assert_one_line(self.run_vm("busybox", "/etc/passwd"), 126, "/etc/passwd", "denied")

    def test_a_signal_to_vch_reaches_the_command(self):
        script = "trap 'echo caught; exit 9' TERM; echo ready; while :; do usleep 50000; done"
        with subprocess.Popen([VCH, "run", "--rm", "busybox", "sh", "-c", script],
                              stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            process.terminate()
            self.assertEqual(process.stdout.read(), b"caught\n")
        self.assertEqual(process.returncode, 9)


class Environment(VmTest):
    def test_the_command_finds_what_docker_would_give_it(self):
        env_file = os.path.join(self.scratch, "env")
        with open(env_file, "w", encoding="ascii") as file:
            file.write("# a comment\nFROM_FILE=1\nBOTH=file\n")
        script = """
            env; echo pwd=$(pwd); echo id=$(id); echo pid=$$; echo host=$(hostname)
            echo init=$(tr '\\0' ' ' </proc/1/cmdline); echo cpus=$(nproc)
            echo mem=$(sed -n 's/MemTotal: *//p' /proc/meminfo)
            echo root=$(sed -n 's/ .*//; 1p' /proc/mounts); echo fds=$(ls /proc/self/fd | tr '\\n' ' ')
            for d in null zero full random urandom tty ptmx; do [ -c /dev/$d ] || echo bad=$d; done
            [ -d /dev/shm ] && [ -d /dev/pts ] && echo dirs=ok
            echo group=$(grep ^0:: /proc/self/cgroup); echo nofile=$(ulimit -n)"""
        result = self.sh(script, "--env-file", env_file, "-e", "BOTH=flag", "-e", "EMPTY=",
                         "-e", "PASSED_ON", "-w", "/made/when/missing", "-u", "1234:5678",
                         "--cpus", "2", "--memory", "300m", "--hostname", "there",
                         env={"PASSED_ON": "by caller"})
        self.assert_ended(result, 0, stderr=b"")
        found = lines(result)
        self.assertEqual(found["FROM_FILE"], "1")
        self.assertEqual(found["BOTH"], "flag")
        self.assertEqual(found["EMPTY"], "")
        self.assertEqual(found["PASSED_ON"], "by caller")
        self.assertEqual(found["pwd"], "/made/when/missing")
        self.assertIn("uid=1234 gid=5678", found["id"])
        self.assertEqual(found["pid"], "1")
        self.assertEqual(found["host"], "there")
        self.assertEqual(found["HOSTNAME"], "there")
        self.assertTrue(found["init"].startswith("sh -c"), found["init"])
        self.assertEqual(found["cpus"], "2")
        self.assertGreater(int(found["mem"].split()[0]), 200 * 1024)
        self.assertEqual(found["root"], "overlay")
        self.assertEqual(found["fds"].split(), ["0", "1", "2", "3"])  # 3 is ls's own
        self.assertNotIn("bad", found)
        self.assertEqual(found["dirs"], "ok")
        self.assertEqual(found["group"], "0::/")
        self.assertEqual(found["nofile"], "1048576")

    def test_users_by_name_get_their_groups_and_home(self):
        result = self.sh("id -u; id -G; echo $HOME", "-u", "daemon", image="debian")
        self.assert_ended(result, 0, b"1\n1\n/usr/sbin\n")

    def test_flags_end_at_the_image(self):
        result = self.run_vm("-e", "A=1", "--", "busybox", "echo", "--rm", "-e", "x", "--", "y")
        self.assert_ended(result, 0, b"--rm -e x -- y\n", b"")

    def test_entrypoint_is_replaced(self):
        result = self.run_vm("--entrypoint", "/bin/echo", "busybox", "a", "b")
        self.assert_ended(result, 0, b"a b\n", b"")


class Bookkeeping(VmTest):
    def test_a_named_container_with_labels_stays_until_removed(self):
        name = self.name()
        result = vch("run", "--name", name, "--label", "a=b", "--label", "c", "busybox", "sh", "-c",
                     "exit 5")
        self.assert_ended(result, 5)
        seen = inspect(name)
        self.assertEqual(seen["State"], "exited")
        self.assertEqual(seen["ExitCode"], 5)
        self.assertEqual(seen["Labels"], {"a": "b", "c": ""})
        self.assertIsNone(seen["Machine"]["Pid"])
        self.assertIn(name.encode(), vch("ps", "-a").stdout)
        self.assertNotIn(name.encode(), vch("ps").stdout)
        self.assert_one_line(vch("run", "--name", name, "busybox", "true"), 125, name, "exists")
        self.assert_ended(vch("rm", name), 0)
        self.assert_one_line(vch("inspect", name), 1, name)

    def test_rm_leaves_nothing(self):
        name = self.name()
        self.assert_ended(vch("run", "--rm", "--name", name, "busybox", "true"), 0)
        self.assertNotIn(name.encode(), vch("ps", "-a").stdout)

    def test_a_detached_container_runs_on_and_is_stopped(self):
        volume, name = self.volume(), self.name()
        result = vch("run", "-d", "--name", name, "-v", f"{volume}:/data", "busybox", "sleep", "1000")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assert_ended(vch("exec", name, "touch", "/x", "/data/x"), 0, b"", b"")
        seen = inspect(name)
        self.assertEqual(result.stdout.decode().strip(), seen["Id"])
        self.assertEqual(seen["State"], "running")
        self.assertIn(seen["Machine"]["Accelerator"], ("kvm", "tcg"))
        # `sleep` is process 1 of its namespace, which no signal but SIGKILL ends.
        self.assert_ended(vch("stop", "-t", "1", name), 0)
        self.assertEqual(inspect(name)["ExitCode"], 137)
        self.assert_clean_end(name)
        self.assert_ended(vch("stop", name), 0)  # it has ended: nothing to do
        self.assert_one_line(vch("kill", name), 1, name, "does not run")

    def test_a_detached_command_that_cannot_start_says_so(self):
        name = self.name()
        self.assert_one_line(vch("run", "-d", "--name", name, "busybox", "nonsense"), 127, "nonsense")

    def test_stop_sends_the_stop_signal_first(self):
        volume, name = self.volume(), self.name()
        script = ("trap 'echo caught; echo x >/x; echo x >/data/x; exit 33' USR2; echo ready; "
                  "while :; do usleep 50000; done")
        with subprocess.Popen([VCH, "run", "--name", name, "--stop-signal", "USR2", "-v", f"{volume}:/data",
                               "busybox", "sh", "-c", script], stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            self.assert_ended(vch("stop", "-t", "60", name), 0)
            self.assertEqual(process.stdout.read(), b"caught\n")
        self.assertEqual(process.returncode, 33)
        self.assert_clean_end(name)

    def test_an_ended_container_starts_again_with_what_it_wrote(self):
        volume, name = self.volume(), self.name()
        script = "echo life >>/lives; wc -l </lives; echo x >>/data/x; exit $(wc -l </lives)"
        self.assert_ended(vch("run", "--name", name, "-v", f"{volume}:/data", "busybox", "sh", "-c", script),
                          1, b"1\n")
        self.assert_clean_end(name)
        self.assert_ended(vch("start", "-a", name), 2, b"2\n", b"")
        self.assertEqual(inspect(name)["ExitCode"], 2)
        self.assert_ended(vch("start", name), 0, f"{name}\n".encode())
        while inspect(name)["State"] != "exited":
            pass
        self.assertEqual(inspect(name)["ExitCode"], 3)


class Health(VmTest):
    def wait_for(self, name, health):
        while (seen := inspect(name))["Health"] != health:
            self.assertNotEqual(seen["State"], "exited", seen)

    def test_the_images_healthcheck_turns_healthy_and_unhealthy(self):
        name = self.name()
        # The `layers` image checks for /ok each 200 ms, two failures make it unhealthy.
        script = "touch /ok; read line; rm /ok; sleep 1000"
        with subprocess.Popen([VCH, "run", "-i", "--name", name, "layers", "sh", "-c", script],
                              stdin=subprocess.PIPE) as process:
            while not vch("ps", "-a").stdout.count(name.encode()):
                self.assertIsNone(process.poll())
            self.wait_for(name, "healthy")
            process.stdin.write(b"\n")
            process.stdin.flush()
            self.wait_for(name, "unhealthy")
            self.assertIn(b"(unhealthy)", vch("ps").stdout)
            self.assert_ended(vch("kill", name), 0)
        self.assertEqual(process.returncode, 137)
