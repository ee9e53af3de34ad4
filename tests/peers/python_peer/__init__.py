"""A host end for containerVMs in Python, written from docs/protocol.md and docs/integrating.md alone.

wire.py       frames and their checks                       protocol.md, section 2
transport.py  HELLO, sequences                              protocol.md, sections 3 and 4
connection.py connections                                   protocol.md, section 5
protobuf.py   the messages of protocol/*.proto
services.py   the services control and stdio                integrating.md, sections 4 and 5
journal.py    the journal's file                            integrating.md, section 6
machine.py    a machine: configuration, disks, QEMU         integrating.md, sections 1 and 2

It is made to be read. It knows links that keep their bytes (virtio-serial, vsock) and leaves out what only
makes things faster: classes, round-trip times, frames that fit a slow line.
"""
