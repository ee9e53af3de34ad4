"""Small commands, to try the peer by hand.

    python3 -m python_peer run --iso ISO --protos DIR -- COMMAND...     a machine of its own for COMMAND
    python3 -m python_peer attach LINK KEY                              the primary of a machine that runs
    python3 -m python_peer journal FILE [...]                           what a journal says
"""

import argparse
import asyncio
import os
import sys
import tempfile
import threading
from pathlib import Path

from . import journal
from .machine import SCHEMA_FILES, Machine, make_image
from .protobuf import Schema
from .services import STDERR, Attachment
from .transport import Endpoint


def print_output(stream, data):
    file = sys.stderr.buffer if stream == STDERR else sys.stdout.buffer
    file.write(data)
    file.flush()


async def attach(link, key, machine=None):
    endpoint = Endpoint(str(link), key)
    endpoint.start()
    attachment = Attachment(print_output, stdin=True)
    loop = asyncio.get_running_loop()

    def copy_stdin():
        while data := os.read(0, 16384):
            asyncio.run_coroutine_threadsafe(attachment.write(data), loop).result()
        asyncio.run_coroutine_threadsafe(attachment.close_stdin(), loop).result()

    threading.Thread(target=copy_stdin, daemon=True).start()
    end = await attachment.run(endpoint)
    await (machine.ended() if machine else endpoint.idle())
    await endpoint.close()
    if end.stage:
        print(f"it did not start: {end.object}: {os.strerror(end.errno)}", file=sys.stderr)
    return end.code


async def run(options):
    schema = Schema(*(options.protos / name for name in SCHEMA_FILES))
    with tempfile.TemporaryDirectory() as directory:
        machine = Machine(directory, schema, options.accel)
        primary = {"argv": options.command, "open_stdin": True, "hold_until_attach": True}
        try:
            await machine.start(options.iso, make_image(directory), primary)
            return await attach(machine.link, machine.key, machine)
        finally:
            await machine.kill()


def main():
    parser = argparse.ArgumentParser(prog="python_peer", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    one = commands.add_parser("run")
    one.add_argument("--iso", required=True)
    one.add_argument("--accel", default="tcg", help="of QEMU: tcg or kvm")
    one.add_argument("--protos", type=Path, required=True)
    one.add_argument("command", nargs="+")
    one = commands.add_parser("attach")
    one.add_argument("link")
    one.add_argument("key", type=Path)
    one = commands.add_parser("journal")
    one.add_argument("file", type=Path)
    one.add_argument("--secret", type=int, default=0, help="check_secret of the configuration")
    options = parser.parse_args()
    if options.what == "run":
        sys.exit(asyncio.run(run(options)))
    elif options.what == "attach":
        sys.exit(asyncio.run(attach(options.link, options.key.read_bytes())))
    else:
        for record in journal.records(options.file.read_bytes(), options.secret):
            print(*record)


main()
