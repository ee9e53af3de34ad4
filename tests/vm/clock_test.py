"""The machine's wall clock is the host's, also after the machine stood still."""

import json
import math
import os
import re
import socket
import subprocess
import time

from vch_testing import TIMEOUT, VCH, VmTest, inspect, kill_shim, vch

PRECISION = 0.05  # s


def qmp(name, *commands):
    """Each command by its name, or with its arguments as a pair; gives the last one's answer."""
    directory = os.open(inspect(name)["Directory"], os.O_PATH)  # whose own name may be too long for a socket
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(f"/proc/self/fd/{directory}/qmp.sock")
        os.close(directory)
        with monitor.makefile("rw") as stream:
            stream.readline()
            for command in ("qmp_capabilities", *commands):
                command, arguments = (command, {}) if isinstance(command, str) else command
                stream.write(json.dumps({"execute": command, "arguments": arguments}))
                stream.flush()
                while "return" not in (answer := json.loads(stream.readline())):
                    if "error" in answer:
                        raise AssertionError(answer)
    return answer["return"]


FIELD = re.compile(r"^\s*(?:-\S+\s+)?time\.(tv_u?sec): +(\d+)", re.M)


class GuestClock:
    """The clock within, asked again and again by one exec, beside this host's."""

    def __init__(self, name, *flags):
        self.process = subprocess.Popen(
            [VCH, *flags, "exec", "-i", name, "sh", "-c", "while read -r line; do adjtimex; echo .; done"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def read(self):
        """How far it is ahead of this host's: at least, and at most, s."""
        before = time.time()
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        text = b"".join(iter(self.process.stdout.readline, b".\n")).decode()
        after = time.time()
        fields = {name: int(value) for name, value in FIELD.findall(text)}
        reads = fields["tv_sec"] + fields["tv_usec"] / 1e6
        return reads - after, reads - before

    def wait_until_right(self, test, precision=PRECISION):
        """Until it is known to be no more than this wrong, in s."""
        deadline, least, most = time.monotonic() + TIMEOUT, -math.inf, math.inf
        while least < -precision or most > precision:
            low, high = self.read()
            least, most = max(least, low), min(most, high)
            if least > most:
                least, most = low, high  # it has been set meanwhile
            if time.monotonic() > deadline:
                test.fail(f"the clock within is {least} to {most} s ahead")

    def finish(self, test):
        self.process.stdin.close()
        test.assertEqual((self.process.wait(), self.process.stdout.read()), (0, b""))
        self.process.stdout.close()


class Clock(VmTest):
    def test_it_is_the_hosts_and_is_set_again_after_it_stood_still(self):
        name = self.name()
        self.assert_ended(vch("run", "-d", "--name", name, "busybox", "sleep", "1000"), 0)
        clock = GuestClock(name)
        clock.wait_until_right(self)
        # The last time nobody tells the shim.
        for make_known in (lambda: kill_shim(name), lambda: vch("restart-link", name), lambda: None):
            qmp(name, "stop")
            resumed = time.time() + 1
            while time.time() < resumed:
                inspect(name)
            qmp(name, "cont")
            make_known()
            clock.wait_until_right(self)
        clock.finish(self)
