#!/bin/busybox sh
# shellcheck shell=dash
# The initramfs's init: the same disks as a containerVM's, put together in the same way.
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t squashfs -o ro /dev/vda /lower
/bin/busybox mount -t ext4 /dev/vdb /writable
/bin/busybox mkdir -p /writable/bench/upper /writable/bench/work
/bin/busybox mount -t overlay \
  -o lowerdir=/lower,upperdir=/writable/bench/upper,workdir=/writable/bench/work overlay /root
/bin/busybox mount -o move /dev /root/dev
exec /bin/busybox switch_root /root /usr/sbin/serve-sessions
