"""More commands in a container that runs, and what else can be done with it: signals, pauses, restarts."""

import hashlib
import os
import random
import signal
import subprocess
import threading
import unittest

from vch_testing import FULL, VCH, VmTest, inspect, vch

MIB = 1 << 20
WAITER = "trap 'exit 7' TERM; echo up; while :; do sleep 1000 & wait $!; done"


def start(name, *flags, command=("sh", "-c", WAITER)):
    result = vch("run", "-d", "--name", name, *flags, "busybox", *command)
    if result.returncode != 0:
        raise AssertionError(result.stderr.decode())


def execute(name, *words, **more):
    return vch("exec", name, *words, **more)


def shell(name, script, **more):
    return execute(name, "sh", "-c", script, **more)


def sessions(name):
    return inspect(name)["Agent"]["Sessions"]


class ExecInOneMachine(VmTest):
    """One machine for all of these: an exec disturbs nothing."""

    @classmethod
    def setUpClass(cls):
        cls.box = f"ExecInOneMachine-{os.getpid()}"
        cls.addClassCleanup(vch, "rm", "-f", cls.box)
        start(cls.box, "-e", "FROM_RUN=run", "-e", "BOTH=run", "-w", "/srv", "-u", "33:44",
              "--hostname", "box")
        # It idles until the last test comes.
        cls.idle = subprocess.Popen([VCH, "exec", "-i", cls.box, "cat"], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE)
        cls.addClassCleanup(cls.idle.kill)
        cls.idle.stdin.write(b"first\n")
        cls.idle.stdin.flush()
        if cls.idle.stdout.readline() != b"first\n":
            raise AssertionError("the idle exec does not answer")

    def test_output_and_exit_code(self):
        self.assert_ended(shell(self.box, "echo out; echo err >&2; exit 5"), 5, b"out\n", b"err\n")
        self.assert_ended(shell(self.box, "printf 'no newline'"), 0, b"no newline", b"")
        self.assert_ended(shell(self.box, "kill -9 $$"), 137, b"", b"")

    def test_what_cannot_start_says_why_and_disturbs_nothing(self):
        self.assert_one_line(execute(self.box, "no-such-program"), 127, "no-such-program",
                             "find program", "No such file")
        self.assert_one_line(execute(self.box, "/etc/passwd"), 126, "/etc/passwd", "denied")
        self.assert_one_line(vch("exec", "-u", "nobody-at-all", self.box, "true"), 125,
                             "user", "nobody-at-all")
        self.assert_one_line(vch("exec", "-d", self.box, "no-such-program"), 127, "no-such-program")
        self.assert_one_line(vch("exec", "-w", "relative", self.box, "true"), 1, "working_dir",
                             "relative", "absolute")
        self.assert_one_line(vch("exec", "-e", "=x", self.box, "true"), 1, "=x")
        self.assert_one_line(vch("exec", self.box), 1, "command")
        self.assert_one_line(vch("exec", "no-such-box", "true"), 1, "no-such-box")
        self.assert_ended(execute(self.box, "echo", "on"), 0, b"on\n", b"")
        self.assertEqual(inspect(self.box)["State"], "running")

    def test_environment_user_and_directory_are_the_commands_own_unless_said_otherwise(self):
        script = "echo $FROM_RUN $BOTH $ADDED $HOSTNAME $(pwd) $(id -u):$(id -g)"
        self.assert_ended(shell(self.box, script), 0, b"run run box /srv 33:44\n", b"")
        env_file = os.path.join(self.scratch, "env")
        with open(env_file, "w", encoding="ascii") as file:
            file.write("ADDED=file\nBOTH=file\n")
        result = vch("exec", "--env-file", env_file, "-e", "BOTH=exec", "-e", "PASSED", "-w", "/tmp",
                     "-u", "0", self.box, "sh", "-c", script + " $PASSED", env={"PASSED": "on"})
        self.assert_ended(result, 0, b"run exec file box /tmp 0:0 on\n", b"")

    def test_it_lives_in_the_containers_namespaces(self):
        result = shell(self.box, "for n in mnt pid; do readlink /proc/1/ns/$n; readlink /proc/self/ns/$n; "
                       "done; ls /proc/self/fd | tr '\\n' ' '; tr '\\0' ' ' </proc/1/cmdline")
        lines = result.stdout.decode().splitlines()
        self.assertEqual(lines[0], lines[1], result.stdout)
        self.assertEqual(lines[2], lines[3])
        self.assertTrue(lines[4].startswith("0 1 2 3 sh -c"), lines[4])  # 3 is ls's own

    def test_stdin_passes_through_whole(self):
        sent = random.Random(5).randbytes((256 if FULL else 8) * MIB)
        result = vch("exec", "-i", self.box, "cat", stdin=sent)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(hashlib.sha256(result.stdout).digest(), hashlib.sha256(sent).digest())
        self.assert_ended(vch("exec", self.box, "cat", stdin=b"unseen"), 0, b"", b"")
        self.assert_ended(vch("exec", "-i", self.box, "head", "-c", "3", stdin=b"x" * MIB), 0, b"xxx")

    def test_with_a_terminal(self):
        script = "test -t 0 && test -t 1 && test -t 2 && tty && echo $TERM"
        result = vch("exec", "-t", self.box, "sh", "-c", script)
        self.assert_ended(result, 0, stderr=b"")
        self.assertRegex(result.stdout, rb"\A/dev/pts/\d+\r\nxterm\r\n\Z")
        self.assert_one_line(vch("exec", "-it", self.box, "sh"), 1, "not a TTY")

    def test_a_detached_one_runs_on_and_never_waits_for_a_reader(self):
        self.assert_ended(vch("exec", "-d", "-u", "0", self.box, "sh", "-c",
                              "head -c 5000000 /dev/zero; touch /tmp/poured"), 0, b"", b"")
        while shell(self.box, "[ -e /tmp/poured ]").returncode != 0:
            pass

    def test_many_run_side_by_side(self):
        count = 200 if FULL else 40
        running = [subprocess.Popen([VCH, "exec", "-i", self.box, "sh", "-c", "echo up; cat; exit 3"],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                   for _ in range(count)]
        for process in running:
            self.assertEqual(process.stdout.readline(), b"up\n")
        self.assertGreaterEqual(len([s for s in sessions(self.box) if s["State"] == "running"]), count)
        for number, process in enumerate(running):
            process.stdin.write(b"%d\n" % number)
            process.stdin.close()
        for number, process in enumerate(running):
            self.assertEqual(process.stdout.read(), b"%d\n" % number)
            self.assertEqual(process.wait(), 3)
            process.stdout.close()

    def test_each_is_run_once_however_often_the_shim_dies(self):
        seed = int(os.environ.get("TETHER_SEED", random.randrange(1 << 32)))
        print(f"TETHER_SEED={seed}")
        generator = random.Random(seed)
        count, done = (200 if FULL else 20), threading.Event()

        def killer():
            while not done.wait(generator.random() * 0.2):
                pid = inspect(self.box)["Shim"]["Pid"]
                if pid is not None:
                    os.kill(pid, signal.SIGKILL)

        thread = threading.Thread(target=killer)
        thread.start()
        try:
            for number in range(count):
                result = vch("exec", "-u", "0", self.box, "sh", "-c",
                             f"echo {number} >>/tmp/once; echo ran {number}")
                self.assert_ended(result, 0, b"ran %d\n" % number, b"")
        finally:
            done.set()
            thread.join()
        seen = shell(self.box, "cat /tmp/once").stdout.decode().split()
        self.assertEqual(seen, [str(number) for number in range(count)])

    def test_signals_by_name_and_number_to_any_session(self):
        script = """
            for s in HUP USR1 36; do trap "echo got $s" $s; done
            echo ready; while :; do read -t 0.05 x; done"""
        with subprocess.Popen([VCH, "exec", "-i", self.box, "sh", "-c", script],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            number = str(max(s["Id"] for s in sessions(self.box)))
            for name, said in (("HUP", b"HUP"), ("SIGUSR1", b"USR1"), ("1", b"HUP")):
                self.assert_ended(vch("kill", "-s", name, "--session", number, self.box), 0)
                self.assertEqual(process.stdout.readline(), b"got " + said + b"\n")
            self.assert_ended(vch("kill", "--group", "--session", number, self.box), 0)
            self.assertEqual(process.wait(), 137)
        self.assert_one_line(vch("kill", "--session", number, self.box), 1, "session " + number)
        self.assert_one_line(vch("kill", "-s", "NOPE", self.box), 1, "NOPE")

    def test_one_that_is_stopped_is_no_burden_and_can_be_killed(self):
        with subprocess.Popen([VCH, "exec", self.box, "sh", "-c", "kill -STOP $$"]) as process:
            while not any(s["Command"][-1:] == ["kill -STOP $$"] and s["State"] == "running"
                          for s in sessions(self.box)):
                pass
            number = next(s["Id"] for s in sessions(self.box) if s["Command"][-1:] == ["kill -STOP $$"])
            self.assert_ended(execute(self.box, "true"), 0)
            self.assert_ended(vch("kill", "--session", str(number), self.box), 0)
        self.assertEqual(process.returncode, 137)

    def test_one_whose_client_is_killed_goes_on_and_is_forgotten_in_the_end(self):
        script = "echo up; while [ ! -e /tmp/go ]; do usleep 10000; done; echo end >/tmp/ended"
        with subprocess.Popen([VCH, "exec", "-i", self.box, "sh", "-c", script],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), b"up\n")
            number = next(s["Id"] for s in sessions(self.box) if s["Command"][-1:] == [script])
            process.kill()
        self.assert_ended(shell(self.box, "touch /tmp/go"), 0)
        while shell(self.box, "cat /tmp/ended").stdout != b"end\n":
            pass
        kept = [s["State"] for s in sessions(self.box) if s["Id"] == number]
        self.assertLessEqual(set(kept), {"running", "exited"})
        while FULL and any(s["Id"] == number for s in sessions(self.box)):
            pass  # a minute

    def test_top_lists_the_processes(self):
        self.assert_ended(vch("exec", "-d", self.box, "sleep", "777"), 0)
        self.assert_ended(vch("exec", "-d", self.box, "sh", "-c",
                              "exec sleep 778 # \x1b[31m"), 0)
        text = vch("top", self.box).stdout.decode()
        head, *rows = text.splitlines()
        self.assertEqual(head.split(), ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"])
        self.assertTrue(any(row.endswith("sleep 777") and row.startswith("33 ") for row in rows), text)
        self.assertNotIn("\x1b", text)
        self.assertNotIn("tether", text)

    def test_the_end_of_one_does_not_wait_for_its_descendants(self):
        script = """
            (i=0; while echo noise; do i=$((i+1)); echo $i >/tmp/tick; mv /tmp/tick /tmp/ticks; usleep 20000; done) &
            echo done"""
        self.assert_ended(vch("exec", "-u", "0", self.box, "sh", "-c", script), 0)
        ticks = [int(shell(self.box, "cat /tmp/ticks").stdout or 0)]
        while len(set(ticks)) < 4:  # It writes on, and meets no broken pipe.
            ticks.append(int(shell(self.box, "cat /tmp/ticks").stdout or 0))
        shell(self.box, "true")
        self.assertEqual(ticks, sorted(ticks))

    def test_what_clients_took_of_the_agents_memory_is_given_back(self):
        seen = [inspect(self.box)["Agent"]["PssKiB"] for _ in range(250)]
        self.assertLess(seen[-1] - seen[49], 150, seen)

    def test_zz_an_idle_one_lives_for_ever(self):
        self.idle.stdin.write(b"last\n")
        self.idle.stdin.close()
        self.assertEqual(self.idle.stdout.read(), b"last\n")
        self.assertEqual(self.idle.wait(), 0)


class ExecAndTheContainersLife(VmTest):
    def test_pause_stop_and_the_ends_of_execs(self):
        name = self.name()
        start(name)
        counter = "i=0; while :; do i=$((i+1)); echo $i; usleep 10000; done"
        with subprocess.Popen([VCH, "exec", name, "sh", "-c", counter],
                              stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            self.assert_ended(vch("pause", name), 0, f"{name}\n".encode(), b"")
            self.assertEqual(inspect(name)["State"], "paused")
            self.assertIn(b"(Paused)", vch("ps").stdout)
            self.assert_one_line(execute(name, "true"), 1, name, "paused")
            self.assert_one_line(vch("pause", name), 1, name, "paused already")
            self.assertIn(b"usleep", vch("top", name).stdout)
            self.assert_ended(vch("unpause", name), 0, f"{name}\n".encode(), b"")
            self.assert_one_line(vch("unpause", name), 1, name, "not paused")
            self.assertEqual(inspect(name)["State"], "running")
            self.assertTrue(process.stdout.readline())
            self.assert_ended(vch("pause", name), 0)
            # A stop of what stands still is a stop: and who watches an exec sees it end.
            self.assert_ended(vch("stop", "-t", "60", name), 0)
            process.stdout.read()
        self.assertEqual(process.returncode, 137)
        self.assert_ended(vch("wait", name), 0, b"7\n", b"")
        self.assert_one_line(execute(name, "true"), 1, name, "does not run")
        self.assert_one_line(vch("top", name), 1, name, "does not run")
        self.assert_one_line(vch("pause", name), 1, name, "does not run")

    def test_a_paused_container_can_be_killed(self):
        name = self.name()
        start(name)
        self.assert_ended(vch("pause", name), 0)
        with subprocess.Popen([VCH, "wait", name], stdout=subprocess.PIPE) as waiting:
            self.assert_ended(vch("kill", name), 0)
            self.assertEqual(waiting.stdout.read(), b"137\n")

    def test_a_launcher_that_dies_loses_no_exec(self):
        name, each, results = self.name(), (100 if FULL else 8), []
        start(name)
        # Nobody in there sees it.
        seen = shell(name, "ps | grep -c [t]ether; cat /sys/fs/cgroup/cgroup.procs")
        self.assertNotIn("0", seen.stdout.decode().split()[1:], seen.stdout)

        def work(worker):
            for number in range(each):
                done = shell(name, f"echo {worker}.{number} >>/once; echo ran; exit 3")
                results.append((done.returncode, done.stdout, done.stderr))

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        kills = 0
        while any(thread.is_alive() for thread in threads):  # the link process with it
            self.assert_ended(vch("restart-link", name), 0)
            kills += 1
        print(f"{len(results)} execs, {kills} kills", flush=True)
        self.assertEqual(set(results), {(3, b"ran\n", b"")})
        once = shell(name, "cat /once").stdout.decode().split()
        self.assertEqual(sorted(once), sorted(f"{w}.{n}" for w in range(4) for n in range(each)))

    def test_a_fork_bomb_leaves_the_agent_alone(self):
        volume, name = self.volume(), self.name()
        start(name, "-v", f"{volume}:/data")
        self.assert_ended(shell(name, "echo x >/x; echo x >/data/x"), 0)
        self.assert_ended(vch("exec", "-d", name, "sh", "-c", "b() { b | b & }; b"), 0)
        while vch("top", name).stdout.count(b"\n") < 100:
            pass
        self.assert_ended(vch("kill", name), 0)
        self.assert_ended(vch("wait", name), 0, b"137\n", b"")
        self.assert_clean_end(name)


class Restarts(VmTest):
    def test_on_failure_restarts_in_one_unbroken_stream(self):
        name = self.name()
        script = "echo run $(wc -l </runs); echo >>/runs; exit 3"
        result = vch("run", "--name", name, "--restart", "on-failure:2", "busybox", "sh", "-c",
                     f"[ -e /runs ] || : >/runs; {script}")
        self.assert_ended(result, 3, b"run 0\nrun 1\nrun 2\n", b"")
        self.assertEqual(inspect(name)["RestartCount"], 2)

    def test_always_goes_on_until_it_is_stopped(self):
        name = self.name()
        script = "echo run; read line; exit 0"
        with subprocess.Popen([VCH, "run", "-i", "--name", name, "--restart", "always", "busybox", "sh",
                               "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            for _ in range(3):
                self.assertEqual(process.stdout.readline(), b"run\n")
                process.stdin.write(b"\n")
                process.stdin.flush()
            self.assertEqual(process.stdout.readline(), b"run\n")
            self.assertEqual(inspect(name)["State"], "running")
            self.assert_ended(vch("kill", name), 0)
            self.assertEqual(process.stdout.read(), b"")
        self.assertEqual(process.returncode, 137)
        self.assertEqual(inspect(name)["RestartCount"], 3)


if __name__ == "__main__":
    unittest.main()
