"""The SSH door, with OpenSSH's own unmodified clients."""

import hashlib
import json
import os
import re
import select
import subprocess
import tempfile
import time
import unittest

from terminal import Terminal
from vch_testing import FULL, TIMEOUT, VCH, VmTest, vch

FILES = 10000 if FULL else 60
LARGE = (1 << 30) if FULL else (1 << 19)


def wait_until(test, what, condition):
    """Until the condition gives something true."""
    deadline = time.monotonic() + TIMEOUT
    while not (found := condition()):
        if time.monotonic() > deadline:
            test.fail(f"never: {what}")
        select.select([], [], [], 0.05)
    return found


def digests(directory):
    """Of every file below, by its path; links by where they point."""
    found = {}
    for path, directories, names in os.walk(directory):
        for name in names + [d for d in directories if os.path.islink(os.path.join(path, d))]:
            whole = os.path.join(path, name)
            key = os.path.relpath(whole, directory)
            if os.path.islink(whole):
                found[key] = os.readlink(whole)
            else:
                with open(whole, "rb") as file:
                    found[key] = hashlib.sha256(file.read()).hexdigest()
    return found


class SshTest(VmTest):
    """One machine for all of it."""

    @classmethod
    def setUpClass(cls):
        cls.container = f"SshTest-{os.getpid()}"
        cls.addClassCleanup(vch, "rm", "-f", cls.container)
        started = vch("run", "-d", "--name", cls.container, "busybox", "sleep", "1000000")
        assert started.returncode == 0, started.stderr
        scratch = tempfile.TemporaryDirectory(prefix="tether-ssh-")
        cls.addClassCleanup(scratch.cleanup)
        cls.directory = scratch.name
        cls.host = cls.container + ".vch"
        cls.config = os.path.join(cls.directory, "config")
        with open(cls.config, "wb") as file:
            file.write(vch("ssh-config").stdout)

    def run_program(self, program, *words, stdin=None, config=None):
        return subprocess.run([program, "-F", config or self.config, *words], input=stdin,
                              stdin=subprocess.DEVNULL if stdin is None else None,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT,
                              check=False)

    def ssh(self, *words, **more):
        return self.run_program("ssh", self.host, *words, **more)

    def changed_config(self, **changes):
        """The configuration with other values."""
        path = os.path.join(self.scratch, "changed")
        with open(self.config, encoding="utf-8") as file:
            text = file.read()
        for name, value in changes.items():
            text, count = re.subn(rf"(?m)^  {name} .*$", lambda _: f"  {name} {value}", text)
            self.assertEqual(count, 1, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def refusals(self):
        """What the journal says of those who were not let in."""
        events = vch("events", "--since", "24h", "--until", "0s", "--format", "{{json .}}",
                     "--filter", f"container={self.container}").stdout.decode().splitlines()
        found = [json.loads(line) for line in events if line]
        return [event["Actor"]["Attributes"]["who"] for event in found
                if event["Action"] == "ssh_refused"]

    def test_a_command_has_its_streams_its_user_and_its_end(self):
        everything = self.ssh("cat; echo to stderr >&2; exit 7", stdin=b"from\0stdin")
        self.assert_ended(everything, 7, b"from\0stdin", b"to stderr\n")
        by_vch = vch("ssh", self.container, "echo $HOME $USER $SHELL; pwd; id -u")
        self.assert_ended(by_vch, 0, b"/root root /bin/sh\n/root\n0\n", b"")
        # daemon's shell is /bin/false, which is what runs.
        self.assertEqual(vch("ssh", f"daemon@{self.container}", "id").returncode, 1)
        killed = self.run_program("ssh", "-v", self.host, "kill -SEGV $$")
        self.assertEqual(killed.returncode, 255)
        self.assertIn(b"rtype exit-signal", killed.stderr)
        chosen = self.ssh("-o", "SetEnv=LC_TETHER=yes PATH=no", "echo $LC_TETHER; echo $PATH")
        self.assertRegex(chosen.stdout, rb"^yes\n/")

    def test_large_streams_arrive_whole_both_ways(self):
        content = os.urandom(LARGE)
        result = self.ssh("cat", stdin=content)
        self.assertEqual(result.returncode, 0, result.stderr[-500:])
        self.assertEqual(hashlib.sha256(result.stdout).digest(), hashlib.sha256(content).digest())

    def test_a_terminal_is_one(self):
        terminal = Terminal(self, columns=91, rows=27)
        terminal.line(f"vch ssh {self.container}")
        terminal.wait_for(r"# $", after=self.container)
        terminal.ask("stty size", r"27 91")
        terminal.ask("echo $TERM $0", r"(tmux|screen|xterm)\S* -sh")
        terminal.line("sleep 100000")
        terminal.keys("C-c")
        terminal.ask("echo over $?", r"over 130")
        terminal.line("trap 'stty size' WINCH")
        terminal.resize(103, 31)
        terminal.ask("sleep 1; stty size", r"31 103")
        terminal.line("exit 5")
        terminal.wait_for(r"host> $", after="exit 5")
        terminal.ask("echo ended $?", r"ended 5")

    def test_files_go_in_and_out_by_scp_sftp_and_rsync(self):
        tree = os.path.join(self.scratch, "tree")
        for i in range(FILES):
            place = os.path.join(tree, str(i % 10), "deep" if i % 3 else "")
            os.makedirs(place, exist_ok=True)
            with open(os.path.join(place, f"file {i} é"), "wb") as file:
                file.write(os.urandom(i * 37 % 5000))
        os.symlink("0", os.path.join(tree, "link"))
        wanted = digests(tree)
        with self.subTest("sftp"):
            script = (f"put -r {tree} /tmp\nmkdir /tmp/made\nrename /tmp/tree /tmp/made/tree\n"
                      "chmod 711 /tmp/made\nls -l /tmp\nln -s made /tmp/made-link\n"
                      f"get -r /tmp/made/tree {self.scratch}/again\ndf /tmp\n"
                      "rm /tmp/made-link\n-rm /tmp/none\n")
            done = self.run_program("sftp", "-b", "-", self.host, stdin=script.encode())
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(b"drwx--x--x", done.stdout)
            # This client passes links over.
            files = {name: digest for name, digest in wanted.items() if name != "link"}
            self.assertEqual(digests(os.path.join(self.scratch, "again")), files)
        with self.subTest("rsync"):
            self.bring_rsync()
            shell = f"ssh -F {self.config}"
            for source, target in ((tree + "/", f"{self.host}:/tmp/synced"),
                                   (f"{self.host}:/tmp/synced/", f"{self.scratch}/synced")):
                done = subprocess.run(["rsync", "-a", "-e", shell, source, target], check=False,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      timeout=TIMEOUT)
                self.assertEqual(done.returncode, 0, done.stdout)
            self.assertEqual(digests(os.path.join(self.scratch, "synced")), wanted)

    def bring_rsync(self):
        """This host's, with its libraries: by scp, which is tried on the way."""
        listed = subprocess.run(["ldd", "/usr/bin/rsync"], stdout=subprocess.PIPE, check=True)
        libraries = re.findall(r"(/\S+) \(0x", listed.stdout.decode())
        places = sorted({os.path.dirname(path) for path in libraries})
        self.assert_ended(self.ssh("mkdir -p " + " ".join(places)), 0)
        for place in places:
            files = [path for path in libraries if os.path.dirname(path) == place]
            done = self.run_program("scp", "-pq", *files, f"{self.host}:{place}/")
            self.assertEqual(done.returncode, 0, done.stderr)
        done = self.run_program("scp", "-pq", "/usr/bin/rsync", f"{self.host}:/usr/bin/")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_wrong_key_user_or_machine_is_refused_with_a_reason(self):
        key = os.path.join(self.scratch, "other")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        stranger = self.ssh("true", config=self.changed_config(IdentityFile=key))
        self.assertEqual(stranger.returncode, 255)
        self.assertIn(b"Permission denied (publickey)", stranger.stderr)
        nobody = self.run_program("ssh", f"nosuch@{self.host}", "true")
        self.assertEqual(nobody.returncode, 255)
        self.assertIn(b"Permission denied (publickey)", nobody.stderr)
        shown = subprocess.run(["ssh-keygen", "-lf", key], stdout=subprocess.PIPE, check=True)
        digest = shown.stdout.decode().split()[1]
        wait_until(self, "two reasons", lambda: {
            f"user root: key {digest} is not authorized",
            "user nosuch: the container has no such user"} <= set(self.refusals()))
        # Somebody else's machine at the other end of the line.
        with open(key + ".pub", encoding="utf-8") as file:
            known = " ".join(file.read().split()[:2])
        command = os.path.join(self.scratch, "known")
        with open(command, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\necho {self.host.lower()} {known}\n")
        os.chmod(command, 0o700)
        other = self.ssh("true", config=self.changed_config(KnownHostsCommand=command))
        self.assertEqual(other.returncode, 255)
        self.assertIn(b"Host key verification failed", other.stderr)
        weak = self.ssh("-o", "KexAlgorithms=diffie-hellman-group14-sha1", "true")
        self.assertEqual(weak.returncode, 255)
        self.assertIn(b"no matching key exchange method", weak.stderr)

    def test_commands_that_cannot_work_say_why(self):
        self.assert_one_line(vch("ssh", "no-such-container"), 1, "no-such-container")
        self.assert_one_line(vch("ssh"), 1, "no container given")
        self.assert_one_line(vch("dial", self.container, "no-such-service"), 1, "no-such-service")


if __name__ == "__main__":
    unittest.main()
