"""Clients of SSH that die at any moment: the part of ssh_test.py's class that kills them."""

import random
import select
import subprocess
import time

from ssh_fixture import wait_until
from vch_testing import FULL, TIMEOUT, inspect, vch

KILLS = 500 if FULL else 16
RINGS = 16  # empty ones that the agent keeps for sessions to come, two descriptors each
SPARE_LOGIN = 2  # descriptors of the process that waits for the next login, if it does at the moment
GROWTH = 256  # KiB
FIRST = 768  # KiB, that the first ones cost
RECORDS = 4200  # a few more than the link process remembers of events (4096) and results (1024)


class KillsTests:
    """Of a class that is an SshMachineTest."""

    def agent(self):
        return wait_until(self, "the agent's answer", lambda: (
            seen if (seen := inspect(self.container)["Agent"])["Descriptors"] else None))

    def actions(self):
        return vch("events", "--since", "24h", "--until", "0s", "--format", "{{.Action}}",
                   "--filter", f"container={self.container}").stdout.decode().split()

    def processes(self):
        """The container's, but what other tests have left running."""
        top = vch("top", self.container).stdout.decode().splitlines()[1:]
        return len([line for line in top if "httpd" not in line])

    def fill_ring_pool(self):
        """What is kept is all kept then, and no reason for one descriptor more or less."""
        def running_sessions():  # Those that have ended go meanwhile.
            return len([one for one in self.agent()["Sessions"] if one["State"] == "running"])
        before = running_sessions()
        master = self.master()
        running = [subprocess.Popen(["ssh", "-F", self.config, "-o", "ProxyCommand=false", "-S",
                                     master, self.host, "cat"], stdin=subprocess.PIPE,
                                    stdout=subprocess.DEVNULL) for _ in range(RINGS // 2)]
        wait_until(self, "all of them at once",
                   lambda: running_sessions() >= before + len(running))
        for client in running:
            self.addCleanup(client.kill)
            client.communicate(timeout=TIMEOUT)
        self.assert_ended(subprocess.run(["ssh", "-F", self.config, "-S", master, "-O", "exit", self.host],
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False), 0)

    def fill_records(self):
        """What is remembered of requests and events is as much as it gets."""
        self.run_asyncssh(f"""
process = await conn.create_process('sleep 100000')
for i in range({RECORDS}):
    process.send_signal('WINCH')
    if i % 16 == 0:
        await conn.run('true')
process.kill()
await process.wait_closed()
print(process.exit_signal[0])
""", "KILL\n")

    def time_of_login(self):
        for _ in range(2):  # The first one has much to wake up.
            begun = time.monotonic()
            self.assert_ended(self.ssh("true"), 0)
        return time.monotonic() - begun

    def kill_clients(self, count, longest, chooser):
        """At moments that lie evenly between the first and the longest. Returns how many had logged in."""
        moments = [(i + chooser.random()) * longest / count for i in range(count)]
        chooser.shuffle(moments)
        logins = 0
        for moment in moments:
            client = subprocess.Popen(["ssh", "-F", self.config, self.host,
                                       "echo in; exec " + chooser.choice(("cat", "sleep 100000", "yes"))],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL)
            select.select([], [], [], moment)
            client.kill()
            client.wait()
            client.stdin.close()
            with client.stdout:
                logins += client.stdout.read(2) == b"in"
        return logins

    def after_kills(self, chooser, own, processes):
        """The agent when half of them have been killed and all that they had has ended."""
        logins = self.kill_clients(KILLS // 2, 3 * self.time_of_login(), chooser)
        wait_until(self, "the end of their sessions", lambda: self.processes() <= processes)
        wait_until(self, "the end of their logins", lambda: (
            self.actions().count("ssh_login") <= self.actions().count("ssh_logout")))
        wait_until(self, "the end of their processes",
                   lambda: self.agent()["SshLogins"] == own["SshLogins"])
        self.assertGreaterEqual(logins, KILLS // 2 // 4, "too few of them came to log in")
        self.fill_ring_pool()
        wait_until(self, "the end of their sessions in the agent",
                   lambda: len(self.agent()["Sessions"]) <= len(own["Sessions"]))
        return self.agent()

    def test_clients_that_are_killed_leave_nothing(self):
        chooser = random.Random(3)
        self.time_of_login()  # What serves them is there.
        own = wait_until(self, "nobody", lambda: seen if (seen := self.agent())["SshLogins"] == 0 else None)
        processes = self.processes()
        if FULL:
            # The first ones cost what stays for those to come; the others nothing.
            self.fill_records()
            first = self.after_kills(chooser, own, processes)
        else:
            first = {"Descriptors": own["Descriptors"] + 2 * RINGS, "PssKiB": own["PssKiB"] + FIRST}
        last = self.after_kills(chooser, own, processes)
        most = first["Descriptors"] + SPARE_LOGIN
        wait_until(self, "the end of their descriptors", lambda: self.agent()["Descriptors"] <= most)
        print(f"before {own['PssKiB']} KiB, then {first['PssKiB']}, in the end {last['PssKiB']}", flush=True)
        wait_until(self, f"the end of their memory, {last['PssKiB']} KiB, at first {first['PssKiB']}",
                   lambda: self.agent()["PssKiB"] <= first["PssKiB"] + GROWTH)
