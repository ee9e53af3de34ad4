"""The events of a container as the agent tells them to who has subscribed, whatever becomes of his connections."""

import os
import subprocess
import sys
import threading

from vch_testing import SOURCE, VCH

sys.path.insert(0, os.path.join(SOURCE, "tests", "peers"))

from python_peer.machine import SCHEMA_FILES  # noqa: E402
from python_peer.protobuf import Schema, get_varint, put_varint  # noqa: E402


class LiveEvents:
    """Subscribes to all, and again behind the last one that came."""

    def __init__(self, name):
        self.name, self.numbers, self.connections = name, [], 0
        self.schema = Schema(*(os.path.join(SOURCE, "protocol", file) for file in SCHEMA_FILES))
        self.lock, self.stopping, self.process = threading.Lock(), False, None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def subscribe(self):
        with self.lock:
            if self.stopping:
                return False
            self.process = subprocess.Popen([VCH, "dial", self.name, "control"], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        after = self.numbers[-1] if self.numbers else 0
        message = self.schema.encode("Request", {"id": os.urandom(16), "subscribe": {"from": after + 1}})
        try:
            self.process.stdin.write(put_varint(len(message)) + message)
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its connection is gone already
        return True

    def messages(self):
        """Until the connection ends."""
        stream = self.process.stdout
        while True:
            prefix = b""
            while not prefix or prefix[-1] & 0x80:
                if not (byte := stream.read(1)):
                    return
                prefix += byte
            size, _ = get_varint(prefix, 0)
            if len(data := stream.read(size)) < size:
                return
            yield self.schema.decode("Message", data)

    def run(self):
        while self.subscribe():
            self.connections += 1
            for message in self.messages():
                if event := message.get("event"):
                    self.numbers.append(event["number"])
            self.process.kill()
            self.process.communicate()

    def finish(self):
        """The numbers as they came."""
        with self.lock:
            self.stopping = True
            self.process.kill()
        self.thread.join()
        return self.numbers
