"""What a man in the middle of an SSH connection can do: edit the packets that go before the keys do."""

import struct

UP, DOWN = "to the guest", "to the host"
IGNORE, KEXINIT, NEWKEYS = 2, 20, 21
NOTHING = bytes([IGNORE, 0, 0, 0, 0])  # a packet that may come at any time and means nothing


class Packets:
    """An edit of the packets that go unencrypted: `change(direction, type, payload)` gives those that replace one."""

    def __init__(self, change):
        self.change = change
        self.waiting = {UP: b"", DOWN: b""}
        self.banner = {UP: False, DOWN: False}
        self.keyed = {UP: False, DOWN: False}

    def __call__(self, direction, data):
        if self.keyed[direction]:
            return data
        self.waiting[direction] += data
        out = b""
        if not self.banner[direction]:
            end = self.waiting[direction].find(b"\n") + 1
            if end == 0:
                return b""
            out, self.waiting[direction] = self.waiting[direction][:end], self.waiting[direction][end:]
            self.banner[direction] = True
        while len(self.waiting[direction]) >= 5 and not self.keyed[direction]:
            size, padding = struct.unpack(">IB", self.waiting[direction][:5])
            if len(self.waiting[direction]) < 4 + size:
                break
            payload = self.waiting[direction][5:4 + size - padding]
            self.waiting[direction] = self.waiting[direction][4 + size:]
            for new in self.change(direction, payload[0], payload):
                out += self.pack(new)
            self.keyed[direction] = payload[0] == NEWKEYS
        if self.keyed[direction] and self.waiting[direction]:
            rest, self.waiting[direction] = self.waiting[direction], b""
            out += rest
        return out

    @staticmethod
    def pack(payload):
        padding = 8 - (len(payload) + 5) % 8
        padding += 8 if padding < 4 else 0
        return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)
