"""What goes on when parts of the host end are killed, and what is said when the machine dies."""

import hashlib
import os
import random
import signal
import subprocess
import threading

from vch_testing import FULL, VCH, VmTest, inspect, vch

MIB = 1 << 20


class ShimKilled(VmTest):
    def test_no_byte_is_lost_or_repeated_in_either_direction(self):
        seed = int(os.environ.get("TETHER_SEED", random.randrange(1 << 32)))
        print(f"TETHER_SEED={seed}")
        generator = random.Random(seed)
        kills = 100 if FULL else 8
        name, size = self.name(), (256 if FULL else 24) * MIB
        sent = b"".join(generator.randbytes(MIB) for _ in range(size // MIB))
        with subprocess.Popen([VCH, "run", "-i", "--name", name, "busybox", "cat"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            writer = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=process.stdin)
            process.stdin.close()
            feeder = threading.Thread(
                target=lambda: (writer.stdin.write(sent), writer.stdin.close()))
            feeder.start()
            received, killed = bytearray(), 0
            while piece := os.read(process.stdout.fileno(), 1 << 16):
                received += piece
                if killed < kills and len(received) > size * (killed + generator.random()) / kills:
                    if (pid := inspect(name)["Shim"]["Pid"]) is not None:
                        os.kill(pid, signal.SIGKILL)
                        killed += 1
            feeder.join()
            writer.wait()
        self.assertEqual(process.returncode, 0)
        self.assertGreaterEqual(killed, kills // 2)
        self.assertEqual(len(received), size)
        self.assertEqual(hashlib.sha256(received).digest(), hashlib.sha256(sent).digest())


class MachineKilled(VmTest):
    def test_a_machine_that_dies_without_a_word_is_125_and_named(self):
        name = self.name()
        with subprocess.Popen([VCH, "run", "--name", name, "busybox", "sh", "-c",
                               "echo ready; sleep 1000"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            os.kill(inspect(name)["Machine"]["Pid"], signal.SIGKILL)
            stderr = process.stderr.read().decode()
        self.assertEqual(process.returncode, 125, stderr)
        self.assertIn("console.log", stderr)
        self.assertEqual(stderr.count("\n"), 1, stderr)
        seen = inspect(name)
        self.assertEqual((seen["State"], seen["ExitCode"]), ("exited", 125))
        self.assertIsNone(seen["Machine"]["Pid"])

    def test_vch_killed_leaves_the_machine_running(self):
        name = self.name()
        with subprocess.Popen([VCH, "run", "--name", name, "busybox", "sh", "-c",
                               "echo ready; sleep 1000"], stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            process.kill()
        self.assertEqual(inspect(name)["State"], "running")
        self.assert_ended(vch("stop", "-t", "1", name), 0)
        self.assertEqual(inspect(name)["ExitCode"], 137)
