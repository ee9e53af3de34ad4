#!/usr/bin/env python3
"""An image of busybox and vim, from packages of Debian's that were unpacked.

usage: vim_image.py OUT BUSYBOX TREE      TREE holds vim-tiny and the packages that it needs

OUT is created; OUT/config-digest holds the image's id. The same inputs give the same bytes.
"""

import os
import sys

from make_image import add_busybox
from oci_layout import PATH, Layer, Layout

# What a program does without.
UNUSED = ("usr/share/applications", "usr/share/bug", "usr/share/doc", "usr/share/icons",
          "usr/share/lintian", "usr/share/locale", "usr/share/man", "usr/lib/x86_64-linux-gnu/gconv")


def wanted(info):
    if info.name in UNUSED:
        return None
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = int(info.mtime)
    return info


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__.split("\n\n")[1])
    out, program, tree = sys.argv[1:]
    layer = Layer()
    add_busybox(layer, program)
    for name in sorted(os.listdir(tree)):
        layer.tar.add(os.path.join(tree, name), arcname=name, filter=wanted)
    layer.symlink("usr/bin/vim", "vim.tiny")
    Layout(out).finish([(layer.finish(), "gzip")], {"Env": [PATH], "Cmd": ["sh"]},
                       int(os.path.getmtime(os.path.join(tree, "usr/bin/vim.tiny"))))


if __name__ == "__main__":
    main()
