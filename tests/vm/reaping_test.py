"""Orphans, and process 1 of a container: nothing of what ends is left, and nothing waits for it."""

import subprocess
import time

from vch_testing import FULL, VCH, VmTest, inspect, vch

WAITER = "trap 'exit 7' TERM; while :; do sleep 1000 & wait $!; done"


class Reaping(VmTest):
    def start(self, name, *flags):
        self.assert_ended(vch("run", "-d", "--name", name, *flags, "busybox", "sh", "-c", WAITER), 0)

    def shell(self, name, script):
        return vch("exec", name, "sh", "-c", script)

    def expect_no_zombies(self, name, whose):
        """Orphans of all kinds: the agent stays reachable meanwhile, and nothing is left of them."""
        count = 10000 if FULL else 300
        storm = f"""
            i=0
            while [ $i -lt {count} ]; do
                (true & true &)
                case $i in
                    *3) (setsid sh -c 'true & true' &) ;;
                    *6) (sh -c '(sh -c "true & true" &) &' &) ;;
                    *99) (sh -c 'echo $$ >>/tmp/stopped; kill -STOP $$' &) ;;
                esac
                i=$((i+1))
            done
            echo done"""
        with subprocess.Popen([VCH, "exec", name, "sh", "-c", storm], stdout=subprocess.PIPE) as process:
            slowest = answers = 0
            while process.poll() is None:
                begun = time.monotonic()
                self.assertIsNotNone(inspect(name)["Agent"]["Version"], "the agent does not answer")
                slowest, answers = max(slowest, time.monotonic() - begun), answers + 1
            self.assertEqual((process.returncode, process.stdout.read()), (0, b"done\n"))
        print(f"{count} times orphans; {answers} answers of the agent meanwhile, the slowest after "
              f"{slowest:.2f} s", flush=True)
        zombies = ("for s in /proc/[0-9]*/status; do "
                   f"grep -q '{whose}' $s 2>/dev/null && grep '^State:.Z' $s; done; echo end")
        for script in ("true", "kill -9 $(cat /tmp/stopped)"):
            self.assert_ended(self.shell(name, script), 0)
            while self.shell(name, zombies).stdout != b"end\n":
                pass

    def test_orphans_leave_no_zombie_of_the_agents(self):
        name = self.name()
        self.start(name)
        # From inside, the agent's children are those without a parent.
        self.expect_no_zombies(name, whose="^PPid:.0$")

    def test_an_init_reaps_everything_and_passes_signals_on(self):
        name = self.name()
        self.start(name, "--init")
        self.assert_ended(self.shell(name, "tr -d '\\0' </proc/1/cmdline; cat /proc/1/comm"), 0,
                          b"initinit\n", b"")
        # It is the agent's program, which is not for the container to look into.
        self.assert_ended(self.shell(name, "readlink /proc/1/exe || cat /proc/1/maps || cat /proc/1/fd/0"), 1,
                          b"")
        self.assertIn(b" init\n", vch("top", name).stdout)
        self.expect_no_zombies(name, whose="")
        self.assert_ended(vch("stop", "-t", "100", name), 0)
        self.assertEqual(inspect(name)["ExitCode"], 7)

    def test_the_end_under_an_init_is_the_commands(self):
        # A command that cannot be had is refused before.
        self.assert_one_line(self.run_vm("--init", "busybox", "no-such-program"), 127, "no-such-program")
        for script, code in (("echo out; exit 5", 5), ("echo out; kill -9 $$", 137)):
            self.assert_ended(self.sh(script, "--init"), code, b"out\n", b"")

    def test_the_terminal_under_an_init_is_the_commands(self):
        # Process group and that in the foreground.
        result = self.sh("test -t 0 && cut -d' ' -f5,8 /proc/self/stat", "--init", "-t")
        self.assert_ended(result, 0, stderr=b"")
        self.assertRegex(result.stdout, rb"\A(\d+) \1\r\n\Z")
