#!/usr/bin/env python3
"""An image of Debian with programs that ask much of a kernel: a layer of unpacked packages on the debian image.

usage: programs_image.py make OUT DEBIAN TREE      TREE holds the packages that DEBIAN lacks

DEBIAN is the OCI layout of the debian image. OUT is created; OUT/config-digest holds the image's id. The same
inputs give the same bytes. No package's script is run: what they would make is made here.
"""

import os
import sys

from oci_layout import PATH, Layer, Layout
from services_image import add_tree, file_of, lowest_layer

UNUSED = ("usr/share/bash-completion", "usr/share/bug", "usr/share/doc", "usr/share/lintian", "usr/share/locale",
          "usr/share/man", "usr/share/zsh", "usr/bin/containerd-shim", "usr/bin/containerd-shim-runc-v1", "usr/bin/ctr",
          "usr/bin/dnet", "usr/sbin/ovrouter")
# And groups. What systemd's services run as, and what its rules give files to.
USERS = {"messagebus": 100, "systemd-network": 101, "systemd-resolve": 102, "systemd-timesync": 103,
         "systemd-journal": 104, "docker": 105}
# What the package's scripts would enable; Debian's alternatives.
LINKS = {"usr/sbin/iptables": "iptables-nft", "usr/sbin/ip6tables": "ip6tables-nft",
         "usr/sbin/iptables-save": "iptables-nft-save", "usr/sbin/iptables-restore": "iptables-nft-restore"}


def add_users(layer, debian):
    passwd, group = file_of(debian, "etc/passwd"), file_of(debian, "etc/group")
    for name, number in USERS.items():
        passwd += f"{name}:x:{number}:{number}::/:/usr/sbin/nologin\n".encode()
        group += f"{name}:x:{number}:\n".encode()
    layer.add("etc/passwd", content=passwd)
    layer.add("etc/group", content=group)


def make(out, debian, tree):
    below = lowest_layer(debian)
    layer = Layer()
    made = int(os.path.getmtime(os.path.join(tree, "usr/sbin/dockerd")))
    add_tree(layer, tree, made, UNUSED.__contains__)
    add_users(layer, below)
    for name, target in LINKS.items():
        layer.symlink(name, target)
    Layout(out).finish([(below, "gzip"), (layer.finish(), "gzip")], {"Env": [PATH, "LANG=C.UTF-8"], "Cmd": ["bash"]},
                       made)


def main():
    if len(sys.argv) == 5 and sys.argv[1] == "make":
        make(*sys.argv[2:])
    else:
        sys.exit(__doc__.split("\n\n")[1])


if __name__ == "__main__":
    main()
