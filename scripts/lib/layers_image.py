"""An image of three layers with everything that layers can hold, which checks itself: run /check.

The lowest is compressed by gzip, the middle one by zstd, the highest not at all.
"""

import hashlib
import os
import tarfile

from oci_layout import PATH, Layer, Layout, docker_archive

# VFS_CAP_REVISION_2, effective: cap_net_raw permitted. Its bytes are no UTF-8 text.
CAPABILITY = bytes.fromhex("0100000200200000" + "00" * 12)
LONG_NAME = "long-" + "n" * 230
DEEP = "deep/" + "/".join(f"directory-{i:02}" for i in range(20))
OLD, LATE = 86400, 4102444800  # 1970-01-02, 2100-01-01

# What the flattened image must look like: path, mode, owner, group, type as `stat -c %F` says it.
EXPECTED = [
    ("/data", "711", 7, 8, "directory"),
    ("/data/kept", "644", 0, 0, "regular file"),
    ("/data/returned", "640", 9, 9, "regular file"),
    ("/data/to-file", "644", 0, 0, "regular file"),
    ("/data/to-directory", "755", 0, 0, "directory"),
    ("/data/to-directory/inner", "644", 0, 0, "regular file"),
    ("/data/from-link", "644", 0, 0, "regular file"),
    ("/links/soft", "777", 0, 0, "symbolic link"),
    ("/links/absolute", "777", 0, 0, "symbolic link"),
    ("/links/dangling", "777", 0, 0, "symbolic link"),
    ("/owned/file", "640", 1234, 5678, "regular file"),
    ("/owned/large", "600", 2000000000, 2000000001, "regular file"),
    ("/owned/setuid", "4755", 0, 0, "regular file"),
    ("/owned/setgid", "2755", 0, 50, "regular file"),
    ("/owned/sticky", "1777", 3, 4, "directory"),
    ("/special/fifo", "622", 0, 0, "fifo"),
    ("/special/zero", "666", 0, 0, "character special file"),
    ("/special/block", "660", 0, 6, "block special file"),
    ("/implied/parents", "755", 0, 0, "directory"),
    ("/" + LONG_NAME, "644", 0, 0, "regular file"),
    (f"/{DEEP}/file", "644", 0, 0, "regular file"),
    ("/names/with space", "644", 0, 0, "regular file"),
    ("/names/n\u00e4me", "644", 0, 0, "regular file"),
]
GONE = ["/data/removed", "/gone", "/opaque/lower-a", "/opaque/lower-b", "/data/to-file/inner"]
CONTENT = {
    "/data/kept": "kept", "/data/changed": "new", "/data/returned": "back",
    "/opaque/upper": "upper",
    "/links/soft": "original", "/links/absolute": "kept", "/links/hard": "original",
    "/links/to-lower": "kept", "/data/from-link": "a file now",
    "/data/to-directory/inner": "inside", f"/{DEEP}/file": "deep",
}
TIMES = {"/times/old": OLD, "/times/late": LATE, "/times/fraction": 1600000000, "/times": OLD}
SAME_FILE = [("/links/original", "/links/hard"), ("/data/kept", "/links/to-lower")]


def self_check():
    """A script for the image's own shell: prints what is not as it should be."""
    lines = ["#!/bin/sh", "# Checks this image against what its layers say.", "bad=0",
             'same() { [ "$2" = "$3" ] || { echo "$1: \'$2\', want \'$3\'"; bad=1; }; }']
    for path, mode, uid, gid, kind in EXPECTED:
        lines.append(f"same '{path}' \"$(stat -c '%a %u %g %F' '{path}')\""
                     f" '{mode} {uid} {gid} {kind}'")
    for path in GONE:
        lines.append(f"same '{path}' \"$(ls -d '{path}' 2>/dev/null)\" ''")
    for path, content in CONTENT.items():
        lines.append(f"same '{path}' \"$(cat '{path}')\" '{content}'")
    for path, time in TIMES.items():
        lines.append(f"same '{path} time' \"$(stat -c %Y '{path}')\" '{time}'")
    for one, other in SAME_FILE:
        lines.append(f"same '{one} {other} inode' \"$(stat -c '%i %h' '{one}')\""
                     f" \"$(stat -c '%i %h' '{other}')\"")
        lines.append(f"same '{one} links' \"$(stat -c %h '{one}')\" 2")
    lines.append("same '/special/zero number' \"$(stat -c '%t,%T' /special/zero)\" 1,5")
    lines.append("same '/special/block number' \"$(stat -c '%t,%T' /special/block)\" 7,63")
    lines.append("same 'whiteouts' \"$(find / -xdev -name '.wh.*')\" ''")
    lines.append("same 'sum' \"$(sha256sum </data/large)\" '"
                 + hashlib.sha256(large_content()).hexdigest() + "  -'")
    lines += ['[ $bad = 0 ] && echo "all as it should be"', "exit $bad", ""]
    return "\n".join(lines).encode()


def large_content():
    """3 MiB that compress badly, the same each time."""
    block, blocks = b"tether", []
    for _ in range(3 << 15):
        block = hashlib.sha256(block).digest()
        blocks.append(block)
    return b"".join(blocks)


def lowest_layer(add_base):
    layer = Layer()
    add_base(layer)
    layer.directory("data", mode=0o750, uid=1, gid=2)
    for name in ("kept", "removed", "returned", "changed", "to-directory"):
        layer.add(f"data/{name}", content=f"{name if name != 'changed' else 'old'}\n".encode())
    layer.directory("data/to-file")
    layer.add("data/to-file/inner", content=b"inner\n")
    layer.symlink("data/from-link", "kept")
    layer.add("data/large", content=large_content())
    layer.directory("gone")
    layer.directory("gone/below")
    layer.add("gone/below/file", content=b"gone\n")
    layer.directory("opaque")
    layer.add("opaque/lower-a", content=b"a\n")
    layer.directory("opaque/lower-b")
    layer.add("opaque/lower-b/file", content=b"b\n")
    layer.directory("links")
    layer.add("links/original", content=b"original\n")
    layer.add("links/hard", tarfile.LNKTYPE, link="links/original")
    layer.symlink("links/soft", "original")
    layer.symlink("links/absolute", "/data/kept")
    layer.symlink("links/dangling", "nowhere")
    layer.directory("owned")
    layer.add("owned/file", content=b"text\n", mode=0o640, uid=1234, gid=5678,
              xattrs={"user.comment": b"a comment", "user.binary": b"\x00\xff\x80\n=\x01"})
    layer.add("owned/large", content=b"text\n", mode=0o600, uid=2000000000, gid=2000000001)
    layer.add("owned/setuid", content=b"text\n", mode=0o4755)
    layer.add("owned/setgid", content=b"text\n", mode=0o2755, gid=50)
    layer.directory("owned/sticky", mode=0o1777, uid=3, gid=4)
    layer.add("owned/capable", mode=0o755, xattrs={"security.capability": CAPABILITY})
    layer.directory("special")
    layer.add("special/fifo", tarfile.FIFOTYPE, mode=0o622)
    layer.add("special/zero", tarfile.CHRTYPE, mode=0o666, device=(1, 5))
    layer.add("special/block", tarfile.BLKTYPE, mode=0o660, gid=6, device=(7, 99))
    layer.directory("times", mtime=OLD)
    layer.add("times/old", mtime=OLD)
    layer.add("times/late", mtime=LATE)
    layer.add("times/fraction", mtime=1600000000.25)
    layer.add("implied/parents/of/a/file", content=b"implied\n")
    layer.add(LONG_NAME, content=b"long\n")
    layer.add(f"{DEEP}/file", content=b"deep\n")
    layer.directory("names")
    layer.add("names/with space", content=b"text\n")
    layer.add("names/n\u00e4me", content=b"text\n")
    layer.add("names/line\nfeed")
    return layer.finish()


def middle_layer():
    layer = Layer()
    layer.add("data/.wh.removed")
    layer.add("data/.wh.returned")
    layer.add("data/changed", content=b"new\n")
    layer.add("data/to-file", content=b"a file now\n")
    layer.directory("data/to-directory")
    layer.add("data/to-directory/inner", content=b"inside\n")
    layer.add("data/from-link", content=b"a file now\n")
    layer.add(".wh.gone")
    # The order is free: the marker may come after what stays.
    layer.add("opaque/upper", content=b"upper\n")
    layer.add("opaque/.wh..wh..opq")
    layer.add("links/to-lower", tarfile.LNKTYPE, link="data/kept")
    return layer.finish()


def highest_layer():
    layer = Layer()
    layer.directory("data", mode=0o711, uid=7, gid=8)
    layer.add("data/returned", content=b"back\n", mode=0o640, uid=9, gid=9)
    layer.add("check", content=self_check(), mode=0o755)
    return layer.finish()


def make(out, add_base):
    """Writes the image; `add_base` puts into the lowest layer what its shell needs."""
    config = {
        "Env": [PATH, "LAYERS=three"], "Cmd": ["sh"], "WorkingDir": "/data", "User": "0:0",
        "Labels": {"org.tether.example": "layers"}, "ExposedPorts": {"80/tcp": {}},
        "StopSignal": "SIGUSR1",
        # Healthy while /ok exists; quick, for tests.
        "Healthcheck": {"Test": ["CMD-SHELL", "test -e /ok"], "Interval": 200000000,
                        "Timeout": 5000000000, "Retries": 2}}
    stack = [(lowest_layer(add_base), "gzip"), (middle_layer(), "zstd"), (highest_layer(), "")]
    image = Layout(out).finish(stack, config, created=0)
    docker_archive(os.path.join(os.path.dirname(out), "docker-archive.tar"), stack, image, "layers")
