#!/bin/sh
# Becomes a real systemd as PID 1 of its own namespaces, over a throw-away copy of this machine.
# Arguments: an empty directory; a staging root whose program, unit and configuration it gets.
set -eu
work=$1 stage=$2
mount --make-rprivate /
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$work/root"
cd "$work/root"

# The staging root's own accounts are not this machine's: they are made anew.
(cd "$stage" && tar -cf - opt usr etc/systemd etc/sysusers.d etc/tmpfiles.d etc/library-sync) |
    tar -xf -
# Nothing that would look beyond the namespaces, and little that takes time.
for unit in systemd-sysctl systemd-modules-load systemd-random-seed systemd-hwdb-update \
    systemd-update-utmp systemd-sysusers systemd-tmpfiles-setup systemd-journal-flush; do
    ln -sf /dev/null "etc/systemd/system/$unit.service"
done
printf '[Unit]\nWants=systemd-journald.service dbus.socket\n' >etc/systemd/system/bench.target

# shellcheck disable=SC2016  # the inner shell expands it
exec unshare --pid --net --ipc --uts --cgroup --mount --fork --kill-child sh -euc '
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty; do
    touch "dev/$node"
    mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/pts dev/shm .old
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
pivot_root . .old
umount -l .old
cd /
# Credentials are mounted by a helper process of systemd and have to be seen by all.
mount --make-rshared /
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=bench.target --show-status=no
'
