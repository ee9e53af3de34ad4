"""A machine with its SSH door, and OpenSSH's own unmodified clients on this host."""

import hashlib
import json
import os
import random
import re
import select
import subprocess
import tempfile
import time

from vch_testing import FULL, TIMEOUT, VmTest, vch

LONG = 3600 if FULL else TIMEOUT  # a bound for what moves very much


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


class SshMachineTest(VmTest):
    """One machine for all of a class."""

    @classmethod
    def setUpClass(cls):
        cls.container = f"{cls.__name__}-{os.getpid()}"
        cls.addClassCleanup(vch, "rm", "-f", cls.container)
        started = vch("run", "-d", "--name", cls.container, "--hostname", "within", "busybox",
                      "sleep", "1000000")
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
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LONG,
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

    def bring(self, program):
        """This host's, with its libraries: by scp, which is tried on the way."""
        listed = subprocess.run(["ldd", program], stdout=subprocess.PIPE, check=True)
        libraries = re.findall(r"(/\S+) \(0x", listed.stdout.decode())
        places = sorted({os.path.dirname(path) for path in libraries})
        self.assert_ended(self.ssh("mkdir -p " + " ".join(places)), 0)
        for place in places:
            files = [path for path in libraries if os.path.dirname(path) == place]
            done = self.run_program("scp", "-pq", *files, f"{self.host}:{place}/")
            self.assertEqual(done.returncode, 0, done.stderr)
        done = self.run_program("scp", "-pq", program, f"{self.host}:/usr/bin/")
        self.assertEqual(done.returncode, 0, done.stderr)

    def master(self, *words):
        """A login that others share; the path of its socket."""
        path = os.path.join(self.scratch, f"master{random.randrange(1 << 30)}")
        process = subprocess.Popen(
            ["ssh", "-F", self.config, "-M", "-S", path, "-N", *words, self.host],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_until(self, "a master's socket", lambda: os.path.exists(path))
        return path
