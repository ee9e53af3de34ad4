"""The ways into a guest, all with the same few methods: what to run on the host to run a command in
the guest, and what is lost when the host's end of the link is killed."""

import base64
import json
import os
import signal
import socket
import subprocess
import threading
import time

from machines import wait_until


class Tether:
    name = "tether"

    def __init__(self, machine):
        self.machine = machine

    def argv(self, *command, stdin=False, tty=False):
        flags = (["-i"] if stdin or tty else []) + (["-t"] if tty else [])
        return [*self.machine.vch, "exec", *flags, self.machine.name, *command]

    def link_pipes(self):
        """(from the guest, to the guest)"""
        directory = self.machine.inspect()["Directory"]
        return os.path.join(directory, "link.out"), os.path.join(directory, "link.in")

    def kill_link(self):
        """Kills the process of the host that holds the link; gives when."""
        shim = self.machine.inspect()["Shim"]["Pid"]
        killed = time.perf_counter()
        os.kill(shim, signal.SIGKILL)
        return killed

    def _rest(self):
        return [each["Id"] for each in self.machine.inspect()["Agent"]["Sessions"]
                if not each["Primary"] and each["State"] == "running"]

    def end_rest(self):
        """Ends what runs on without its client, as Docker's does: it would take a part of the guest."""
        for session in self._rest():
            self.machine.call("kill", "--session", str(session), self.machine.name)
        wait_until(lambda: not self._rest(), "the end of all execs")

    def stop(self):
        pass


class Ssh:
    """A server reached by OpenSSH's client, whose master connection all commands share."""

    def __init__(self, machine, name, build, key, **options):
        """`options` of ssh's beside those that are here."""
        self.name, self.machine = name, machine
        self.socket = os.path.join(machine.path, name)
        self._control = os.path.join(machine.path, f"{name}.control")
        self.config = os.path.join(machine.path, f"{name}.config")
        self._log = os.path.join(machine.path, f"{name}.log")
        # Once in some hundred commands an answer stays in the port until more comes after it; without
        # a question when it is quiet, ssh would wait for ever.
        self._options = {
            "ServerAliveInterval": "1", "ServerAliveCountMax": "30",
            "User": "root", "IdentityFile": key, "IdentitiesOnly": "yes", "LogLevel": "ERROR",
            "StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null",
            "ControlPath": self._control, "ProxyUseFdpass": "yes",
            "ProxyCommand": f"{build}/tests/session_peer dial {self.socket}", **options}
        self._write_config()
        self._master = None

    def _write_config(self):
        with open(self.config, "w", encoding="ascii") as file:
            file.write("Host *\n" + "".join(f"  {k} {v}\n" for k, v in self._options.items()))

    def start(self, *words):
        with open(self._log, "ab") as log:
            self._master = subprocess.Popen(["ssh", "-F", self.config, "-M", "-N", *words, "guest"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._is_up, f"{self.name}'s master connection, see {self._log}")

    def _is_up(self):
        if self._master.poll() is not None:
            with open(self._log, encoding="utf-8", errors="replace") as log:
                raise AssertionError(f"ssh to {self.name} ended: {log.read()[-500:]}")
        return os.path.exists(self._control)

    def revive(self, stuck):
        """Whether the server had ended or was stuck, which a new login then made good."""
        if self._master.poll() is None and not stuck:
            return False
        self.kill_link()
        self.start()
        return True

    def argv(self, *command, stdin=False, tty=False):
        flags = ["-tt"] if tty else [] if stdin else ["-n"]
        # Never a connection of its own, if the master has gone.
        return ["ssh", "-F", self.config, "-o", "ProxyCommand=false", *flags, "guest", *command]

    def kill_link(self):
        killed = time.perf_counter()
        self._master.kill()
        self._master.wait()
        if os.path.exists(self._control):
            os.unlink(self._control)
        return killed

    def end_rest(self):
        """Nothing: what loses its channel is ended by its next write."""

    def stop(self):
        if self._master:
            self.kill_link()


class GuestAgent:
    """qemu-guest-agent's guest-exec; one client, as its socket has one."""
    name = "guest-exec"

    def __init__(self, machine):
        self.machine = machine
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(os.path.join(machine.path, "qga"))
        self._file = self._socket.makefile("rwb")
        self.call("guest-sync", id=4711)

    def call(self, command, **arguments):
        with self._lock:
            self._file.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
            self._file.flush()
            answer = json.loads(self._file.readline())
        if "error" in answer:
            raise AssertionError(f"{command}: {answer['error']}")
        return answer["return"]

    def start(self, *command):
        return self.call("guest-exec", path=command[0], arg=list(command[1:]),
                         **{"capture-output": True})["pid"]

    def finish(self, pid):
        """Asks until it has ended, as there is nothing else; gives stdout."""
        while True:
            status = self.call("guest-exec-status", pid=pid)
            if status["exited"]:
                if status["exitcode"] != 0:
                    raise AssertionError(f"guest-exec: exit code {status['exitcode']}")
                return base64.b64decode(status.get("out-data", ""))

    def stop(self):
        self._file.close()
        self._socket.close()
