#!/usr/bin/env python3
"""Writes images as OCI image layouts, from Debian's programs and nothing else.

usage: make_image.py busybox OUT BUSYBOX     busybox and its applets
       make_image.py layers OUT BUSYBOX      see layers_image.py; also OUT/../docker-archive.tar
       make_image.py debian OUT TREE         a root file system, as debootstrap made it

OUT is created; OUT/config-digest holds the image's id. The same inputs give the same bytes.
"""

import os
import subprocess
import sys

from oci_layout import PATH, Layer, Layout


def add_busybox(layer, program):
    """Busybox with a link for each applet, and the few files that programs look for."""
    with open(program, "rb") as file:
        content = file.read()
    applets = subprocess.run([program, "--list-full"], stdout=subprocess.PIPE, check=True,
                             text=True).stdout.split()
    applets = sorted({name for name in applets if name not in ("linuxrc", "bin/busybox")})
    for name in sorted({"bin", "dev", "etc", "home", "proc", "run", "srv", "sys", "usr", "var",
                        "var/log", "var/spool"} | {os.path.dirname(name) for name in applets}):
        layer.directory(name)
    layer.directory("root", mode=0o700)
    layer.directory("tmp", mode=0o1777)
    layer.directory("var/tmp", mode=0o1777)
    layer.symlink("var/run", "../run")
    layer.add("bin/busybox", content=content, mode=0o755)
    for name in applets:
        layer.symlink(name, "/bin/busybox")
    layer.add("etc/passwd", content=b"root:x:0:0:root:/root:/bin/sh\n"
              b"daemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
              b"nobody:x:65534:65534:nobody:/home:/bin/false\n")
    layer.add("etc/group", content=b"root:x:0:\ndaemon:x:1:\nadm:x:4:daemon\n"
              b"users:x:100:\nnogroup:x:65534:\n")
    layer.add("etc/shadow", mode=0o600,
              content=b"root:*:::::::\ndaemon:*:::::::\nnobody:*:::::::\n")
    layer.add("etc/hosts", content=b"127.0.0.1 localhost\n::1 localhost\n")
    layer.add("etc/nsswitch.conf", content=b"passwd: files\ngroup: files\nhosts: files dns\n")
    layer.add("etc/profile", content=b"export " + PATH.encode() + b"\n")


def busybox(out, program):
    layer = Layer()
    add_busybox(layer, program)
    Layout(out).finish([(layer.finish(), "gzip")], {"Env": [PATH], "Cmd": ["sh"]},
                       int(os.path.getmtime(program)))


def layers(out, program):
    from layers_image import make  # not an input of the others

    make(out, lambda layer: add_busybox(layer, program))


# Below these, directories alone are kept: the rest is packages that were unpacked, lists that age,
# and what a machine makes itself.
BARE = ("var/cache/apt", "var/lib/apt/lists", "var/log", "var/cache/debconf", "dev", "proc", "sys",
        "run")
# What debootstrap copied from this host, or left for itself.
LEFT_OUT = ("etc/resolv.conf", "etc/hostname", "etc/machine-id", "debootstrap")


def debian(out, tree):
    tree = os.path.abspath(tree)
    layer = Layer()

    def add(path):
        info = layer.tar.gettarinfo(path, arcname=os.path.relpath(path, tree))
        if info is None:  # a socket
            return
        info.uname = info.gname = ""
        info.mtime = int(info.mtime)
        # fakechroot writes the tree's own path into absolute links.
        if info.issym() and info.linkname.startswith(tree + "/"):
            info.linkname = info.linkname.removeprefix(tree)
        if info.isreg():
            with open(path, "rb") as file:
                layer.tar.addfile(info, file)
        else:
            layer.tar.addfile(info)

    for folder, folders, files in os.walk(tree):
        name = os.path.relpath(folder, tree)
        inside = "" if name == "." else name + "/"
        if inside:
            add(folder)
        folders[:] = sorted(entry for entry in folders if inside + entry not in LEFT_OUT)
        if any(inside.startswith(bare + "/") for bare in BARE):
            continue
        links = [entry for entry in folders if os.path.islink(os.path.join(folder, entry))]
        for entry in sorted(files + links):
            if inside + entry not in LEFT_OUT:
                add(os.path.join(folder, entry))
    layer.add("etc/machine-id")
    # When debootstrap ended.
    Layout(out).finish([(layer.finish(), "gzip")], {"Env": [PATH], "Cmd": ["bash"]},
                       int(os.path.getmtime(os.path.join(tree, "var/lib/dpkg/status"))))


def main():
    makers = {"busybox": busybox, "layers": layers, "debian": debian}
    if len(sys.argv) != 4 or sys.argv[1] not in makers:
        sys.exit(__doc__.split("\n\n")[1])
    makers[sys.argv[1]](sys.argv[2], sys.argv[3])


if __name__ == "__main__":
    main()
