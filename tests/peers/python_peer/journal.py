"""The journal's file: records which may be damaged, torn or missing."""

import struct
from typing import NamedTuple

from .wire import crc32c

MAGIC = b"TJR1"
HEADER = struct.Struct("<4sIQQQHHIII")
CHECK = struct.Struct("<I")
MAX_PAYLOAD = 65536

(AGENT, STAGE, FAILURE, SESSION_STARTED, SESSION_ENDED, HEALTH, LINK_STARTED, LINK_DIED, POWER_OFF, OUTPUT, GAP,
 PAUSED, UNPAUSED, OUT_OF_MEMORY, ADDRESS, SIGNAL, RESTART, OUTPUT_DROPPED) = range(1, 19)


class Record(NamedTuple):
    number: int
    boot_ns: int
    wall_ns: int
    kind: int
    stage: int
    session: int
    value: int
    extra: int
    payload: bytes


def records(data, secret=0):
    """Yields every record of `data` that checks; what does not is skipped. `secret`: the configuration's.

    An agent that has not read its configuration yet knows no secret. Its records are believed directly behind another
    one only: anywhere else, a container may have put them there.
    """
    at, behind_another = 0, True
    while (start := data.find(MAGIC, at)) >= 0 and len(data) - start >= HEADER.size + CHECK.size:
        behind_another = behind_another and start == at
        _, length, *fields = HEADER.unpack_from(data, start)
        end = start + HEADER.size + length
        if length <= MAX_PAYLOAD and end + CHECK.size <= len(data):
            record, check = Record(*fields, data[start + HEADER.size:end]), CHECK.unpack_from(data, end)[0]
            early = behind_another and record.kind in (AGENT, STAGE, FAILURE, POWER_OFF)
            if check == crc32c(data[start:end], secret) or (early and check == crc32c(data[start:end])):
                yield record
                at, behind_another = end + CHECK.size, True
                continue
        at, behind_another = start + 1, False


def output(journal, session, stream):
    """All that `session` wrote to `stream`, from a list of records. Raises ValueError if some of it is not there."""
    result = bytearray()
    for record in journal:
        if record.kind == OUTPUT and (record.session, record.value) == (session, stream):
            offset = int.from_bytes(record.payload[:8], "little")
            if offset != len(result):
                raise ValueError(f"output goes on at {offset} after {len(result)}")
            result += record.payload[8:]
    return bytes(result)
