"""What becomes of a machine whose kernel panics, or in which nothing goes on any more."""

import contextlib
import os
import pathlib
import re
import socket
import subprocess
import tempfile

from clock_test import qmp
from ssh_test import wait_until
from vch_testing import BUILD, TETHER_ISO, VCH, VmTest, inspect, vch

SYMBOLS = os.path.join(BUILD, "kernel", "System.map")
LOOP = "ebfe"  # a jump to itself


def address(name):
    with open(SYMBOLS, encoding="ascii") as file:
        return next(line.split()[0] for line in file if line.split()[2] == name)


class Debugger:
    """Writes into a machine's memory by QEMU's own stub."""

    def __init__(self, name, directory):
        path = os.path.join(directory, "gdb")
        qmp(name, ("human-monitor-command", {"command-line": f"gdbserver unix:{path},server=on,wait=off"}))
        self.stub = socket.socket(socket.AF_UNIX)
        self.stub.connect(path)

    def ask(self, text):
        """The stub's answer; that the machine stands still is told between."""
        self.stub.sendall(b"$%s#%02x" % (text.encode(), sum(text.encode()) % 256))
        got = b""
        while not (answer := re.search(rb"\$([^#T][^#]*)#..", got)):
            got += self.stub.recv(4096)
        self.stub.sendall(b"+")
        return answer[1]

    def write(self, place, code):
        assert self.ask(f"M{place},{len(code) // 2:x}:{code}") == b"OK"

    def leave(self):
        assert self.ask("D") == b"OK"  # the machine goes on
        self.stub.close()


def panic(name):
    """What a hypervisor's administrator does to a machine that he gives up."""
    with contextlib.suppress(ConnectionError, ValueError):  # it may end before it has answered
        qmp(name, "inject-nmi")


class Crash(VmTest):
    def ended(self, name):
        wait_until(self, "the machine's end", lambda: inspect(name)["Machine"]["Pid"] is None)

    def test_a_panic_is_told_and_the_container_starts_again_where_that_was_asked_for(self):
        for flag, value, words in (("--on-panic", "never", "stop or reboot"), ("--rm", "--on-panic=reboot", "--rm")):
            self.assert_one_line(vch("create", flag, value, "busybox", "true"), 125, words)
        name = self.name()
        begun = 'echo x >>/begun; sync; wc -l </begun; echo ready; exec sleep 1000000'
        run = ("--on-panic", "reboot", "--name", name, "busybox", "sh", "-c", begun)
        with subprocess.Popen([VCH, "run", *run], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            self.assertEqual((process.stdout.readline(), process.stdout.readline()), (b"1\n", b"ready\n"))
            before = inspect(name)
            console = pathlib.Path(before["Directory"], "console.log")
            kept = console.read_bytes()
            panic(name)
            said = process.stderr.read().decode()
        self.assertEqual(process.returncode, 125, said)
        self.assertRegex(said, r"^vch: the machine of \S+ panicked, while the command ran: NMI: \S.*; its console is in "
                               r"\S+/console.log\n$")
        # Again, without anybody: the same disk, another machine, a console that has both.
        wait_until(self, "the next life", lambda: vch("logs", name).stdout == b"1\nready\n2\nready\n")
        after = inspect(name)
        self.assertNotEqual(after["Machine"]["Pid"], before["Machine"]["Pid"])
        self.assertEqual((before["Machine"]["Crashes"], after["Machine"]["Crashes"]), (0, 1))
        self.assertEqual(after["State"], "running")
        self.assertTrue(console.read_bytes().startswith(kept))
        self.assertIn(b"Kernel panic", console.read_bytes())
        # Its QEMU dies of something else, and somebody stops it before it is started again.
        os.kill(after["Machine"]["Pid"], 9)
        self.ended(name)
        self.assert_ended(vch("stop", name), 0)
        shim = wait_until(self, "the shim's end", lambda: inspect(name)["Shim"]["Pid"] is None)
        self.assertTrue(shim)
        self.assertIsNone(inspect(name)["Machine"]["Pid"])
        # Whoever starts it begins a new row, and what is killed on purpose stays so.
        self.assert_ended(vch("start", name), 0)
        self.assertEqual(inspect(name)["Machine"]["Crashes"], 0)
        self.assert_ended(vch("rm", "-f", name), 0)
        self.assertNotEqual(vch("inspect", name).returncode, 0)

    def test_a_kernel_that_never_comes_to_the_command_is_told_and_not_tried_again(self):
        name, iso = self.name(), os.path.join(self.scratch, "own.iso")
        subprocess.run([TETHER_ISO, "customise", os.path.join(BUILD, "bootstrap.iso"), "-o", iso, "--append",
                        "rdinit=/nothing"], check=True)
        result = vch("run", "-d", "--on-panic", "reboot", "--iso", iso, "--name", name, "busybox", "true")
        self.assert_one_line(result, 125, "panicked, last stage", "root", "console.log")
        self.assertEqual(result.stdout, b"")
        seen = inspect(name)
        self.assertEqual((seen["State"], seen["ExitCode"], seen["Shim"]["Pid"]), ("exited", 125, None))

    def test_a_hang_of_the_kernel_is_a_panic_that_says_where(self):
        name = self.name()
        with tempfile.TemporaryDirectory(prefix="gdb-") as directory, subprocess.Popen(
                [VCH, "run", "--name", name, "busybox", "sh", "-c", "echo ready; exec sleep 1000000"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            debugger = Debugger(name, directory)
            debugger.write(address("do_epoll_wait"), LOOP)  # where PID 1 is going to be, and stay
            debugger.leave()
            said = process.stderr.read().decode()
        self.assertEqual(process.returncode, 125, said)
        self.assertRegex(said, r"^vch: the machine of \S+ panicked, while the command ran: NMI: ")
        console = pathlib.Path(inspect(name)["Directory"], "console.log").read_text(encoding="latin-1")
        self.assertIn(f" 0x{address('do_epoll_wait')}\n", console)
        self.assertEqual(inspect(name)["ExitCode"], 125)
