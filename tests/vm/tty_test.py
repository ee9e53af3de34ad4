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

    def start(self, *flags, image="busybox", command="sh"):
        self.container = self.name()
        self.terminal = Terminal(self)
        self.terminal.line(f"vch run -it --name {self.container} {' '.join(flags)} {image} {command}"
                           "; echo code=$?")
        self.terminal.wait_for(SHELL)

    def expect_sane(self):
        self.terminal.ask("stty -a", r"(?s)isig icanon.* echo .*host> $")

    def expect_signals_and_job_control(self):
        t = self.terminal
        # Each says so itself when the terminal is its own: a key before that would be the shell's.
        t.ask("sh -c 'echo on; exec sleep 1000'", r"\non")
        t.keys("C-c")
        t.wait_for(SHELL, after="sleep 1000")
        t.ask("echo status=$?", r"status=130\n")
        t.ask("""sh -c 'trap "echo again" CONT; echo on; while usleep 9; do :; done'""", r"\non")
        t.keys("C-z")
        t.wait_for(r"Stopped +sh -c .*\n")
        t.ask("jobs", r"Stopped +sh -c")
        t.ask("fg", r"\nagain")
        t.keys("C-c")
        t.wait_for(SHELL, after="fg")
        t.ask("jobs; echo none", r"^\nnone\n")

    def expect_resizes(self):
        t = self.terminal
        t.line("""sh -c 'trap "stty size" WINCH; echo on; while usleep 9; do :; done'""")
        t.wait_for(r"\non $")
        t.resize(100, 30)
        t.wait_for(r"\n30 100 $")
        t.keys("C-c")
        t.wait_for(SHELL)

    def attach(self, *flags):
        self.terminal.line(f"vch attach {' '.join(flags)} {self.container}; echo code=$?")
        # The shell paints its prompt again when it hears of the window's size.
        self.terminal.wait_for(SHELL)

    def test_a_shell_feels_local(self):
        self.start()
        t = self.terminal
        t.ask("tty; stty size; echo term=$TERM", r"/dev/pts/0\n24 80\nterm=(tmux|screen)")

        t.type("echo onw")  # line editing
        t.keys("BSpace")
        t.type("e tw")
        t.keys("Left", "Left", "Left")
        t.type("-and")
        t.keys("C-e")
        t.line("o")
        t.wait_for(r"^\none-and two\n", after="echo one-and two")
        t.ask("echo between", r"^\nbetween\n")
        t.keys("Up", "Up", "Enter")
        t.wait_for(r"^\none-and two\n", after="echo one-and two")

        self.expect_signals_and_job_control()

        t.ask("echo on; cat; echo cat=$?", r"\non")  # the end of input
        t.line("typed")
        t.wait_for(r"\ntyped\ntyped $")
        t.keys("C-d")
        t.wait_for(r"cat=0\n")

        t.line("vi /tmp/text")  # programs that fill the screen
        t.wait_for(r"(?s)~\n~\n.*- /tmp/text")
        t.type("ihello from vi")
        t.wait_for(r"hello from vi")
        t.keys("Escape")
        t.wait_for(r"- /tmp/text")
        t.line(":wq")
        t.wait_for(SHELL)
        t.ask("cat /tmp/text", r"^\nhello from vi\n")
        t.line("seq 1 2000 | less")
        t.wait_for(r"^1\n2\n3\n")
        t.type("G")
        t.wait_for(r"\n1999\n2000\n")
        t.type("q")
        t.wait_for(SHELL)
        t.line("top")
        t.wait_for(r"(?s)Mem: .*PID")
        t.type("q")
        t.wait_for(SHELL)

        self.expect_resizes()
        t.line("exit 7")
        t.wait_for(r"code=7\n")
        self.expect_sane()
        self.assertEqual(inspect(self.container)["ExitCode"], 7)

    def test_a_shell_under_an_init_feels_the_same(self):
        self.start("--init")
        self.expect_signals_and_job_control()
        self.expect_resizes()
        self.terminal.line("exit 7")
        self.terminal.wait_for(r"code=7\n")

    def test_who_leaves_finds_everything_again(self):
        self.start()
        t = self.terminal
        t.ask("mark=here; echo on", r"\non")
        t.keys("C-p", "C-q")
        t.wait_for(r"read escape sequence\ncode=0\n")
        self.expect_sane()
        self.assertEqual(inspect(self.container)["State"], "running")
        self.attach()
        t.ask("echo 1 $mark", r"^\n1 here\n")

        t.keys("C-p", "C-q")
        t.wait_for(r"host> $")
        self.attach("--detach-keys", "ctrl-x,x")
        t.ask("echo 2 $mark", r"^\n2 here\n")
        t.keys("C-x")
        t.type("x")
        t.wait_for(r"code=0\nhost> $", after="2 here")
        self.attach()

        os.kill(inspect(self.container)["Shim"]["Pid"], signal.SIGKILL)
        t.ask("echo 3 $mark", r"^\n3 here\n")
        before = inspect(self.container)["Shim"]["Pid"]
        self.assert_ended(vch("upgrade-shim", self.container), 0, f"{self.container}\n".encode(),
                          b"")
        self.assertNotIn(inspect(self.container)["Shim"]["Pid"], (before, None))
        t.ask("echo 4 $mark", r"^\n4 here\n")

        os.kill(t.foreground(), signal.SIGKILL)
        t.wait_for(r"Killed")
        self.expect_sane()
        self.attach()
        t.ask("echo 5 $mark", r"^\n5 here\n")
        os.kill(t.foreground(), signal.SIGTERM)
        t.wait_for(r"Terminated")
        self.expect_sane()
        self.assertEqual(inspect(self.container)["State"], "running")

        self.attach()
        os.kill(t.foreground(), signal.SIGTSTP)
        t.wait_for(r"Stopped.*\n")
        self.expect_sane()
        t.ask("fg", r"attach")
        t.keys("Enter")
        t.wait_for(SHELL)
        t.ask("echo 6 $mark", r"^\n6 here\n")
        t.line("exit 3")
        t.wait_for(r"host> $", after="exit 3")
        self.assertEqual(inspect(self.container)["ExitCode"], 3)

    def test_vim_takes_a_paste_redraws_on_resize_and_saves(self):
        self.start(image="vim")
        t = self.terminal
        t.line("vim -N -u NONE -i NONE /text")
        t.wait_for(r'(?s)~\n~\n.*"/text" \[New\]')
        t.type("i")
        t.wait_for(r"-- INSERT --")
        lines = [f"line {i} {random.Random(i).randbytes(16).hex()}" for i in range(1, 501)]
        t.paste("\n".join(lines).encode())
        t.wait_for(rf"{lines[-1]}\n")
        t.keys("Escape")
        t.type("gg")
        t.wait_for(rf"^{lines[0]}\n{lines[1]}\n")
        for columns, rows in ((100, 30), (60, 12), (80, 24)):
            t.resize(columns, rows)
            # The text fills all rows but the last, and nothing of the former size is left.
            t.wait_for(rf"\A{lines[0]}\n(line .*\n){{{rows - 3}}}{lines[rows - 2]}\s[^~]*\Z")
        t.type("dd")
        t.wait_for(rf"\A{lines[1]}\n")
        t.type("Goappended")
        t.wait_for(rf"{lines[-1]}\nappended\n")
        t.keys("Escape")
        t.line(":%s/line/LINE/")
        t.wait_for(r"499 substitutions")
        t.line(":wq")
        t.wait_for(SHELL)
        edited = "".join(line.replace("line", "LINE") + "\n" for line in lines[1:]) + "appended\n"
        t.ask("sha256sum /text", hashlib.sha256(edited.encode()).hexdigest())
        t.line("exit")
        t.wait_for(r"code=0\n")
        self.expect_sane()

    def test_a_mebibyte_is_pasted_without_loss(self):
        self.start()
        t = self.terminal
        # Into a program that reads keys, and into cat, line by line.
        content = random.Random(1).randbytes(MIB).replace(b"\x11", b"q")  # no detach keys
        t.ask("stty raw -echo; echo go; head -c 1048576 >/raw; stty sane; sha256sum /raw", r"go")
        t.paste(content)
        t.wait_for(hashlib.sha256(content).hexdigest())
        lines = b"".join(b"%063d\n" % i for i in range(MIB // 64))
        t.ask("echo on; cat >/lines; sha256sum /lines", r"\non")
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
