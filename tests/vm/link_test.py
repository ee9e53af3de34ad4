"""The control plane over each kind of link."""

import hashlib
import os

from vch_testing import VmTest, inspect, vch


class Uart(VmTest):
    def test_streams_pass_a_uart_both_ways_unchanged(self):
        sent = os.urandom(300000)
        result = self.run_vm("--link", "uart", "-i", "busybox", "sh", "-c",
                             "tee /dev/stderr; exit 7", stdin=sent)
        self.assertEqual(result.returncode, 7)
        for received in (result.stdout, result.stderr):
            self.assertEqual(hashlib.sha256(received).digest(), hashlib.sha256(sent).digest())

    def test_a_uart_carries_the_control_service(self):
        name = self.name()
        started = vch("run", "-d", "--link", "uart", "--name", name, "busybox", "sleep", "1000")
        self.assertEqual(started.returncode, 0, started.stderr)
        self.assert_ended(vch("stop", "-t", "1", name), 0)
        seen = inspect(name)
        self.assertEqual((seen["Link"]["Kind"], seen["ExitCode"]), ("uart", 137))
