"""The machine's wall clock is the host's, also after the machine stood still."""

import json
import os
import re
import socket
import time

from vch_testing import VmTest, inspect, kill_shim, vch


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


class Clock(VmTest):
    def seconds_behind(self, name):
        before = time.time()
        result = vch("exec", name, "adjtimex")
        after = time.time()
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        fields = dict(re.findall(r"^\s*(?:-\S+\s+)?([\w.]+): +(\S+)", result.stdout.decode(), re.M))
        reads = float(fields["time.tv_sec"]) + float(fields["time.tv_usec"]) / 1e6
        return max(before - reads, 0) or min(after - reads, 0)

    def wait_until_right(self, name):
        while abs(self.seconds_behind(name)) > 0.05:
            pass

    def test_it_is_the_hosts_and_is_set_again_after_it_stood_still(self):
        name = self.name()
        self.assert_ended(vch("run", "-d", "--name", name, "busybox", "sleep", "1000"), 0)
        self.wait_until_right(name)
        # The last time nobody tells the shim.
        for make_known in (lambda: kill_shim(name), lambda: vch("restart-link", name), lambda: None):
            qmp(name, "stop")
            resumed = time.time() + 1
            while time.time() < resumed:
                inspect(name)
            qmp(name, "cont")
            make_known()
            self.wait_until_right(name)
