#!/bin/sh
# Become a machine of the lab: the first process of new mount, UTS, IPC, network and PID namespaces.
#
#     unshare --mount --uts --ipc --net --pid --fork machine.sh ROOT FOLDER NAME [SOURCE TARGET]...
#
# The machine sees ROOT's files and may change them: what it writes lies in FOLDER. SOURCES of this
# machine are there read-only at their TARGETS; nothing else of this machine is. Prints its process
# id as this machine counts and then only waits: whoever kills it ends everything in its namespaces.
set -eu
umask 022

root=$1
folder=$2
name=$3
shift 3

# /proc is still the old one: it knows this process by the old number.
read -r id _ </proc/self/stat
echo "$name" >/proc/sys/kernel/hostname

view=$folder/view
mount -t overlay -o "lowerdir=$root,upperdir=$folder/changes,workdir=$folder/work" lab "$view"
# What jobs fill is no overlay: runtimes put overlays of their own on it, and two is the limit.
for each in home scratch tmp var/lib/containers var/lib/condor; do
    mkdir -p "$view/$each"
    mount --bind "$folder/disk/$each" "$view/$each"
done
mkdir -p "$folder/logs" "$view/var/log"
mount --bind "$folder/logs" "$view/var/log"
while [ $# -gt 0 ]; do
    if [ -d "$1" ]; then
        mkdir -p "$view$2"
    else
        mkdir -p "$view${2%/*}"
        : >"$view$2"
    fi
    mount --bind -o ro "$1" "$view$2"
    shift 2
done

mount -t proc proc "$view/proc"
mount -t sysfs -o ro sysfs "$view/sys"
# Only to be looked at, as crun does: the groups are this machine's.
mount -t cgroup2 cgroup2 "$view/sys/fs/cgroup"
mount -o remount,bind,ro "$view/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$view/run"
mkdir -m 1777 "$view/run/lock"

mount -t tmpfs -o mode=755 tmpfs "$view/dev"
device() {
    mknod -m 666 "$view/dev/$1" "$2" "$3" "$4"
}
device null c 1 3
device zero c 1 5
device full c 1 7
device random c 1 8
device urandom c 1 9
device tty c 5 0
device fuse c 10 229
mkdir "$view/dev/pts" "$view/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts "$view/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$view/dev/shm"
ln -s pts/ptmx "$view/dev/ptmx"
for each in fd:fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do
    ln -s "/proc/self/${each#*:}" "$view/dev/${each%:*}"
done

cd "$view"
pivot_root . .
umount --lazy .
cd /

echo "$id"
# An ignored SIGCHLD stays ignored after exec: the kernel then buries orphaned processes by itself.
trap '' CHLD
exec sleep infinity >/dev/null 2>&1
