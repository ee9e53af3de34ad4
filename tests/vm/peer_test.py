"""A host end written from the documents alone boots a containerVM and drives it: nothing of vch takes part."""

import asyncio
import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE, BUILD = Path(os.environ["TETHER_SOURCE"]), Path(os.environ["TETHER_BUILD"])
sys.path.insert(0, str(SOURCE / "tests/peers"))

from python_peer import journal, wire  # noqa: E402
from python_peer.machine import SCHEMA_FILES, Machine, make_ext4, make_image  # noqa: E402
from python_peer.protobuf import Schema  # noqa: E402
from python_peer.services import STDERR, STDOUT, Attachment, Control, RequestFailed  # noqa: E402
from python_peer.transport import Endpoint  # noqa: E402

SIGUSR1, SIGTERM = 10, 15
PRIMARY = """
echo ready
cat
trap 'echo got USR1' USR1
trap 'echo got TERM >&2; exit 3' TERM
echo armed
sleep 1000000 >/dev/null 2>&1 </dev/null &
while :; do wait; done
"""


class Output:
    """Collects what a session wrote; until() waits for a condition on it."""

    def __init__(self):
        self.streams = {STDOUT: bytearray(), STDERR: bytearray()}
        self._changed = asyncio.Event()

    def __call__(self, stream, data):
        self.streams[stream] += data
        self._changed.set()

    async def until(self, condition):
        while not condition(self.streams[STDOUT]):
            self._changed.clear()
            await self._changed.wait()


class PeerTest(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.shared)
        cls.image = make_image(cls.shared)
        cls.schema = Schema(*(SOURCE / "protocol" / name for name in SCHEMA_FILES))

    async def asyncSetUp(self):
        asyncio.get_running_loop().set_debug(False)

    async def boot(self, primary, writable=False):
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        machine = Machine(directory, self.schema)
        self.addAsyncCleanup(machine.kill)
        disk = Path(directory) / "writable.ext4" if writable else None
        if disk:
            make_ext4(disk)
        await machine.start(BUILD / "bootstrap.iso", self.image, primary, disk)
        return machine

    async def endpoint(self, machine):
        endpoint = Endpoint(str(machine.link), machine.key)
        endpoint.start()
        self.addAsyncCleanup(endpoint.close)
        return endpoint

    async def test_a_machine_is_driven_from_its_boot_to_its_end(self):
        async with asyncio.timeout(150):
            machine = await self.boot(
                {"argv": ["/bin/sh", "-c", PRIMARY], "open_stdin": True, "hold_until_attach": True}, writable=True)
            first = await self.endpoint(machine)
            control = Control(first, self.schema)
            self.addCleanup(control.close)
            await control.subscribe()

            output = Output()
            attachment = Attachment(output, stdin=True)
            attached = asyncio.create_task(attachment.run(first))
            await self.stdin_comes_back_once(machine, first, control, attachment, attached, output)
            attached = asyncio.create_task(attachment.run(first))

            await self.an_exec_says_how_it_ended(first, control)
            await output.until(lambda got: b"armed\n" in got)
            await control.request(signal={"number": SIGUSR1})
            await output.until(lambda got: got.endswith(b"got USR1\n"))
            with self.assertRaises(RequestFailed) as failed:
                await control.request(signal={"session": 1 << 20, "number": SIGUSR1})
            self.assertEqual(failed.exception.failure["errno_value"], 3)

            await control.request(stop={"grace_ms": 10_000})
            end = await attached
            self.assertEqual((end.code, end.signal, end.stage), (3, 0, 0))
            self.assertEqual(output.streams[STDERR], b"got TERM\n")
            self.assertEqual(await machine.ended(), 0)
            self.journal_agrees(machine, control, output)

    async def stdin_comes_back_once(self, machine, first, control, attachment, attached, output):
        """The link is lost again and again, and the host process replaced twice; `attachment` is left at its end."""
        data = random.Random(11).randbytes(6 << 20)

        async def feed():
            await attachment.write(data)
            await attachment.close_stdin()

        feeding = asyncio.create_task(feed())
        for part in range(1, 6):
            await output.until(lambda got, part=part: len(got) > part * 400_000)
            first.drop_link()
        await output.until(lambda got: len(got) > 2_400_000)
        self.assertEqual((first.sessions, attachment.attached, control.restarts), (1, 1, 0))
        self.assertGreaterEqual(first.resumed, 5)

        # Another process takes over, knowing the offsets alone.
        await first.close()
        await cancelled(attached)
        second = await self.endpoint(machine)
        attached = asyncio.create_task(attachment.run(second))
        await output.until(lambda got: len(got) > 4_000_000)
        self.assertEqual((second.sessions, second.resumed, attachment.attached), (1, 0, 2))
        await second.close()
        await cancelled(attached)

        # The first one comes again and finds itself forgotten.
        first.start()
        attached = asyncio.create_task(attachment.run(first))
        await output.until(lambda got: len(got) > 5_000_000)
        self.assertEqual((first.sessions, control.restarts, attachment.attached), (2, 1, 3))
        await feeding
        await output.until(lambda got: b"armed\n" in got[-100:])
        await cancelled(attached)
        wanted = b"ready\n" + data + b"armed\n"
        self.assertEqual(hashlib.sha256(output.streams[STDOUT]).digest(), hashlib.sha256(wanted).digest())

    async def an_exec_says_how_it_ended(self, endpoint, control):
        output = Output()
        script = "echo one; echo two >&2; read line; echo got $line; exit 7"
        session = {"argv": ["sh", "-c", script], "open_stdin": True}
        reply = await control.request(exec={"session": session})
        attachment = Attachment(output, session=reply["session"], stdin=True)
        await attachment.write(b"three\n")
        end = await attachment.run(endpoint)
        self.assertEqual((end.code, end.signal, end.stage), (7, 0, 0))
        self.assertEqual(output.streams, {STDOUT: b"one\ngot three\n", STDERR: b"two\n"})

    def journal_agrees(self, machine, control, output):
        records = machine.journal()
        self.assertEqual([record.number for record in records], list(range(1, len(records) + 1)))
        primary = next(record.session for record in records if record.kind == journal.SESSION_STARTED)
        for stream in (STDOUT, STDERR):
            self.assertEqual(journal.output(records, primary, stream), output.streams[stream])
        ended = [(r.session, r.value, r.extra) for r in records if r.kind == journal.SESSION_ENDED]
        self.assertIn((primary, 3, 0), ended)
        self.assertEqual([r.value for r in records if r.kind == journal.SIGNAL], [SIGUSR1, SIGTERM])
        self.assertEqual(records[-1].kind, journal.POWER_OFF)

        # Event n is the n-th record of those that are events, from the very first on.
        told = [r for r in records if r.kind not in (journal.AGENT, journal.POWER_OFF, journal.OUTPUT, journal.GAP)]
        events = [control.events.get_nowait() for _ in range(control.events.qsize())]
        self.assertEqual([event["number"] for event in events], list(range(1, len(told) + 1)))
        self.assertEqual([(e["kind"], e["session"], e["value"], e["extra"]) for e in events],
                         [(r.kind, r.session, r.value, r.extra) for r in told])
        self.assertIn(journal.SESSION_STARTED, [event["kind"] for event in events])

    async def test_the_example_in_cpp_prints_what_the_primary_writes_and_exits_with_its_code(self):
        async with asyncio.timeout(60):
            script = "echo out; echo err >&2; exit 5"
            machine = await self.boot({"argv": ["/bin/sh", "-c", script], "hold_until_attach": True})
            example = await asyncio.create_subprocess_exec(
                BUILD / "tests/attach_example", machine.link, machine.directory / "key",
                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual(await example.communicate(), (b"out\n", b"err\n"))
            self.assertEqual(example.returncode, 5)
            self.assertEqual(await machine.ended(), 0)

    def test_a_damaged_record_of_the_journal_costs_itself_and_a_forged_one_is_not_believed(self):
        def record(number, kind, payload, secret):
            data = journal.HEADER.pack(journal.MAGIC, len(payload), number, 0, 0, kind, 0, 1, 1, 0) + payload
            return data + journal.CHECK.pack(wire.crc32c(data, secret))

        secret = 0x5EC4E7
        forged = record(9, journal.STAGE, b"forged", 0)
        parts = [record(1, journal.AGENT, b"early", 0), record(2, journal.OUTPUT, bytes(8) + forged, secret),
                 record(3, journal.OUTPUT, bytes(8) + b"x" * 100, secret),
                 record(4, journal.SESSION_ENDED, b"", secret)]
        whole = b"".join(parts)
        self.assertEqual([r.number for r in journal.records(whole, secret)], [1, 2, 3, 4])
        for lost, part in enumerate(parts):
            for at in range(len(part)):
                damaged = bytearray(part)
                damaged[at] ^= 0x10
                data = b"".join(parts[:lost]) + damaged + b"".join(parts[lost + 1:])
                self.assertEqual([r.number for r in journal.records(data, secret)],
                                 [number for number in (1, 2, 3, 4) if number != lost + 1], (lost, at))
        for size in range(len(parts[3])):
            self.assertEqual(len(list(journal.records(whole[:len(whole) - len(parts[3]) + size], secret))), 3)

    def test_the_worked_example_of_the_protocol_reads_and_writes(self):
        text = (SOURCE / "docs/protocol.md").read_text().split("### 7.")[1]
        found = re.findall(r"^([A-Z][\w ,]+(?:: [^\n]*)?:?)\n((?:  [0-9a-f ]+\n)+)", text, re.M)
        self.assertEqual(len(found), 10)
        for title, block in found:
            parser = wire.Parser()
            parser.secret = 0xEA9F14F0 if "guest" in title else 0x16B0AB0C
            frames = list(parser.feed(bytes.fromhex(block)))
            self.assertEqual(len(frames), 1, title)
            secret = 0 if frames[0].type in wire.HELLOS else parser.secret
            self.assertEqual(wire.encode(frames[0], secret, checksum=True), bytes.fromhex(block), title)


async def cancelled(task):
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


if __name__ == "__main__":
    unittest.main()
