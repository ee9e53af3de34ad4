#!/bin/sh
# PID 1 of the guest that the others serve: each server on a port of its own.
export PATH=/usr/sbin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/pts /dev/shm /run /root/.ssh /etc/dropbear
mount -t devpts -o ptmxmode=666,mode=620 devpts /dev/pts
mount -t tmpfs run /run
mkdir -p /run/sshd

cp /etc/ssh/client_key.pub /root/.ssh/authorized_keys
chown 0:0 / /root /root/.ssh /root/.ssh/authorized_keys /etc/ssh /etc/ssh/host_key
chmod 755 / /root
chmod 700 /root/.ssh /etc/ssh
chmod 600 /root/.ssh/authorized_keys /etc/ssh/host_key
dropbearkey -t ed25519 -f /etc/dropbear/host_key >/dev/null 2>&1

# port NAME: its device
port() {
  for each in /sys/class/virtio-ports/*; do
    if [ "$(cat "$each/name")" = "$1" ]; then echo "/dev/${each##*/}"; fi
  done
}
# With `bench.called` (tests/bench/ssh) the host stays connected to the ports and nobody else waits.
mode=serve
case "$(cat /proc/cmdline)" in *bench.called*) mode=serve-called ;; esac
session_peer "$mode" "$(port org.tether.bench.dropbear)" \
  /usr/sbin/dropbear -i -r /etc/dropbear/host_key &
session_peer "$mode" "$(port org.tether.bench.sshd)" /usr/sbin/sshd -i -e -f /etc/ssh/sshd_config &
if [ "$mode" = serve ]; then
  qemu-ga -m virtio-serial -p "$(port org.qemu.guest_agent.0)" -t /run &
fi
echo serving
exec session_peer reap
