#!/usr/bin/env python3
"""An image of Debian with PostgreSQL, nginx and redis: a layer of unpacked packages on the debian image.

usage: services_image.py status DEBIAN                what DEBIAN has installed, in dpkg's words
       services_image.py make OUT DEBIAN TREE         TREE holds the packages that DEBIAN lacks

DEBIAN is the OCI layout of the debian image. OUT is created; OUT/config-digest holds the image's id. The same
inputs give the same bytes. No package's script is run: what they would make is made here.
"""

import gzip
import io
import json
import os
import sys
import tarfile

from oci_layout import PATH, Layer, Layout

POSTGRESQL = "usr/lib/postgresql/15"
# What servers do without; the compiler of PostgreSQL's queries is larger than everything else.
UNUSED = ("usr/share/bug", "usr/share/doc", "usr/share/lintian", "usr/share/locale", "usr/share/man",
          "usr/share/postgresql/15/man", "usr/share/icu", f"{POSTGRESQL}/lib/bitcode", f"{POSTGRESQL}/lib/llvmjit.so",
          "usr/lib/llvm-14", "var/log/postgresql", "etc/systemd", "lib/systemd")
USERS = {"postgres": 100, "redis": 101}  # and groups; www-data is Debian's own


def blob(layout, digest):
    with open(os.path.join(layout, "blobs", *digest.split(":")), "rb") as file:
        return file.read()


def lowest_layer(layout):
    """The debian image's only layer, plain, and when the image was made."""
    with open(os.path.join(layout, "index.json"), encoding="utf-8") as file:
        index = json.load(file)
    manifest = json.loads(blob(layout, index["manifests"][0]["digest"]))
    return gzip.decompress(blob(layout, manifest["layers"][0]["digest"]))


def file_of(layer, name):
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        return tar.extractfile(name).read()


def add_tree(layer, tree, made, unused):
    """All of the unpacked packages, as root's, but what `unused` says of a name.

    Nothing is younger than `made`: directories that no package has are as old as their unpacking.
    """

    def wanted(info):
        if unused(info.name):
            return None
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        info.mtime = min(int(info.mtime), made)
        return info

    for name in sorted(os.listdir(tree)):
        path = os.path.join(tree, name)
        if name in ("bin", "lib", "lib64", "sbin"):  # /usr is merged
            for entry in sorted(os.listdir(path)):
                layer.tar.add(os.path.join(path, entry), arcname=f"usr/{name}/{entry}", filter=wanted)
        else:
            layer.tar.add(path, arcname=name, filter=wanted)


def add_users(layer, debian):
    passwd, group = file_of(debian, "etc/passwd"), file_of(debian, "etc/group")
    for name, number in USERS.items():
        home = "/var/lib/" + ("postgresql" if name == "postgres" else name)
        passwd += f"{name}:x:{number}:{number}::{home}:/bin/sh\n".encode()
        group += f"{name}:x:{number}:\n".encode()
        layer.directory(home[1:], mode=0o755, uid=number, gid=number)
        layer.directory(f"run/{os.path.basename(home)}", mode=0o775, uid=number, gid=number)
    layer.add("etc/passwd", content=passwd)
    layer.add("etc/group", content=group)


def make(out, debian, tree):
    below = lowest_layer(debian)
    layer = Layer()
    made = int(os.path.getmtime(os.path.join(tree, POSTGRESQL, "bin/postgres")))
    add_tree(layer, tree, made, lambda name: name in UNUSED or "libLLVM" in name)
    add_users(layer, below)
    path = f"{PATH}:/{POSTGRESQL}/bin"
    Layout(out).finish([(below, "gzip"), (layer.finish(), "gzip")], {"Env": [path, "LANG=C.UTF-8"], "Cmd": ["bash"]},
                       made)


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "status":
        sys.stdout.buffer.write(file_of(lowest_layer(sys.argv[2]), "var/lib/dpkg/status"))
    elif len(sys.argv) == 5 and sys.argv[1] == "make":
        make(*sys.argv[2:])
    else:
        sys.exit(__doc__.split("\n\n")[1])


if __name__ == "__main__":
    main()
