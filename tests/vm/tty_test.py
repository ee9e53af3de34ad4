"""Interactive use: what a person at a terminal sees and types."""

import hashlib
import os
import random
import signal

from terminal import Terminal
from vch_testing import VmTest, inspect, vch

MIB = 1 << 20
SHELL = r"/ # $"


class Session(VmTest):
    """A shell in a containerVM, in front of a person."""

    def start(self, *flags, command="sh"):
        self.container = self.name()
        self.terminal = Terminal(self)
        self.terminal.line(f"vch run -it --name {self.container} {' '.join(flags)} busybox {command}"
                           "; echo code=$?")
        self.terminal.wait_for(SHELL)

    def expect_sane(self):
        self.terminal.ask("stty -a", r"(?s) isig icanon.* echo .*host> $")

    def attach(self, *flags):
        self.terminal.clear()
        self.terminal.line(f"vch attach {' '.join(flags)} {self.container}; echo code=$?")
        # The shell paints its prompt again when it hears of the window's size.
        self.terminal.wait_for(SHELL)

    def test_a_shell_feels_local(self):
        self.start()
        t = self.terminal
        t.ask("tty; stty size; echo term=$TERM", r"/dev/pts/0\n24 80\nterm=(tmux|screen)")
        with self.subTest("line editing"):
            t.type("echo onw")
            t.keys("BSpace", "BSpace")
            t.type("e tw")
            t.keys("Left", "Left", "Left")
            t.type("-and")
            t.keys("C-e")
            t.line("o")
            t.wait_for(r"\none-and two\n")
            t.clear()
            t.keys("Up", "Enter")
            t.wait_for(r"\none-and two\n")
        with self.subTest("Ctrl-C"):
            t.ask("sleep 1000", r"sleep 1000")
            t.keys("C-c")
            t.wait_for(SHELL)
            t.ask("echo status=$?", r"status=130\n")
        with self.subTest("job control"):
            t.ask("sleep 1000", r"sleep 1000")
            t.keys("C-z")
            t.wait_for(r"Stopped")
            t.ask("jobs", r"Stopped .*sleep 1000")
            t.ask("fg", r"sleep 1000")
            t.keys("C-c")
            t.ask("jobs; echo none", r"none\n")
        with self.subTest("Ctrl-D"):
            t.ask("cat; echo cat=$?", r"cat; echo")
            t.line("typed")
            t.wait_for(r"typed\n.*typed\n")
            t.keys("C-d")
            t.wait_for(r"cat=0\n")
        with self.subTest("vi"):
            t.line("vi /tmp/text")
            t.wait_for(r"/tmp/text")
            t.type("ihello from vi")
            t.keys("Escape")
            t.line(":wq")
            t.wait_for(SHELL)
            t.ask("cat /tmp/text", r"\nhello from vi\n")
        with self.subTest("less"):
            t.line("seq 1 2000 | less")
            t.wait_for(r"^1\n2\n3\n")
            t.type("G")
            t.wait_for(r"\n1999\n2000\n")
            t.type("q")
            t.wait_for(SHELL)
        with self.subTest("top"):
            t.line("top")
            t.wait_for(r"(?s)Mem: .*PID")
            t.type("q")
            t.wait_for(SHELL)
        with self.subTest("resize"):
            t.ask("trap 'echo now $(stty size)' WINCH", r"WINCH")
            t.resize(100, 30)
            t.keys("Enter")
            t.wait_for(r"now 30 100\n")
            t.line("trap - WINCH")
        t.clear()
        t.line("exit 7")
        t.wait_for(r"code=7\n")
        self.expect_sane()
        self.assertEqual(inspect(self.container)["ExitCode"], 7)

    def test_who_leaves_finds_everything_again(self):
        self.start()
        t = self.terminal
        with self.subTest("detach and attach"):
            t.ask("mark=here", r"mark=here")
            t.keys("C-p", "C-q")
            t.wait_for(r"read escape sequence\ncode=0\n")
            self.expect_sane()
            self.assertEqual(inspect(self.container)["State"], "running")
            self.attach()
            t.ask("echo $mark", r"\nhere\n")
        with self.subTest("other detach keys"):
            t.keys("C-p", "C-q")
            t.wait_for(r"code=0\n")
            self.attach("--detach-keys", "ctrl-x,x")
            t.ask("echo a", r"\na\n")
            t.keys("C-x")
            t.type("x")
            t.wait_for(r"code=0\n")
            self.attach()
        with self.subTest("the shim is killed, and replaced"):
            os.kill(inspect(self.container)["Shim"]["Pid"], signal.SIGKILL)
            t.ask("echo still $((40 + 2))", r"\nstill 42\n")
            before = inspect(self.container)["Shim"]["Pid"]
            self.assert_ended(vch("upgrade-shim", self.container), 0,
                              f"{self.container}\n".encode(), b"")
            self.assertNotIn(inspect(self.container)["Shim"]["Pid"], (before, None))
            t.ask("echo and $((40 + 3))", r"\nand 43\n")
        with self.subTest("vch is killed"):
            os.kill(t.foreground(), signal.SIGKILL)
            t.wait_for(r"Killed")
            self.expect_sane()
            self.attach()
            t.ask("echo $mark", r"\nhere\n")
        with self.subTest("vch is terminated"):
            os.kill(t.foreground(), signal.SIGTERM)
            t.wait_for(r"Terminated")
            self.expect_sane()
            self.assertEqual(inspect(self.container)["State"], "running")
            self.attach()
        with self.subTest("vch is stopped and goes on"):
            pid = t.foreground()
            os.kill(pid, signal.SIGTSTP)
            t.wait_for(r"Stopped")
            self.expect_sane()
            t.ask("fg", r"attach")
            t.keys("Enter")
            t.wait_for(SHELL)
            t.ask("echo $mark", r"\nhere\n")
        t.line("exit 3")
        t.wait_for(r"code=3\n")

    def test_a_mebibyte_is_pasted_without_loss(self):
        self.start()
        t = self.terminal
        with self.subTest("into a program that reads keys"):
            content = bytes(random.choices(range(256), k=MIB))
            t.ask("stty raw -echo; head -c 1048576 >/tmp/raw; stty sane; sha256sum /tmp/raw",
                  r"sha256sum")
            t.paste(content)
            t.wait_for(hashlib.sha256(content).hexdigest())
        with self.subTest("into cat, line by line"):
            lines = b"".join(b"%063d\n" % i for i in range(MIB // 64))
            t.ask("cat >/tmp/lines; sha256sum /tmp/lines", r"sha256sum")
            t.paste(lines)
            t.keys("C-d")
            t.wait_for(hashlib.sha256(lines).hexdigest())
        t.line("exit")
        t.wait_for(r"code=0\n")


class WithoutATerminal(VmTest):
    def test_input_that_is_no_terminal_is_refused_at_once(self):
        for command in ("run", "start", "attach"):
            with self.subTest(command):
                name = self.name(command)
                if command != "run":
                    self.assertEqual(
                        vch("create", "-it", "--name", name, "busybox", "sleep", "1000").returncode, 0)
                if command == "attach":
                    self.assert_ended(vch("start", name), 0)
                words = {"run": ("run", "-it", "--name", name, "busybox", "true"),
                         "start": ("start", "-ai", name), "attach": ("attach", name)}[command]
                self.assert_one_line(vch(*words), 1, "the input device is not a TTY")
        self.assert_one_line(vch("inspect", self.name("run")), 1, "run")

    def test_output_may_go_to_a_pipe(self):
        result = self.sh("echo out; echo err >&2; tty; exit 5", "-t")
        self.assert_ended(result, 5, b"out\r\nerr\r\n/dev/pts/0\r\n", b"")

    def test_flags_that_make_no_sense_are_refused(self):
        for words, said in ((("-t", "--detach-keys", "ctrl-"), "'ctrl-'"),
                            (("--restart", "often"), "'often'"),
                            (("--rm", "--restart", "always"), "--rm"),
                            (("--log-policy", "lose"), "'lose'"),
                            (("--stop-timeout", "-1"), "--stop-timeout")):
            with self.subTest(said):
                self.assert_one_line(vch("run", *words, "busybox", "true"), 125, said)
