#!/bin/sh
# Run a command in another root filesystem, as the first process of mount and PID namespaces that
# `unshare --mount --pid --fork` has made; all mounts and all processes end with it.
#
#     enter.sh ROOT USER [SOURCE TARGET]... -- COMMAND...
#
# The command sees ROOT's programs read-only, this machine's devices, and each SOURCE at TARGET. All
# else is empty memory, so a TARGET can be anywhere but in /usr and /etc, and ROOT stays as it was.
set -eu
umask 022

root=$1
user=$2
shift 2

view=$root/mnt
mount -t tmpfs -o mode=755 tmpfs "$view"
for each in usr etc var/lib/apptainer; do
    mkdir -p "$view/$each"
    mount --bind -o ro "$root/$each" "$view/$each"
done
for each in "$root"/bin "$root"/sbin "$root"/lib*; do
    cp -P "$each" "$view/"
done
mkdir "$view/dev" "$view/proc" "$view/run" "$view/sys" "$view/outside"
mkdir -m 1777 "$view/tmp" "$view/var/tmp"
mount --rbind /dev "$view/dev"
[ ! -e /dev/fuse ] || mount --bind "$root/dev/fuse" "$view/dev/fuse"
mount --rbind /sys "$view/sys"
mount -t proc proc "$view/proc"
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then
        mkdir -p "$view$2"
    else
        mkdir -p "$view${2%/*}"
        : >"$view$2"
    fi
    mount --rbind "$1" "$view$2"
    shift 2
done
shift

cd "$view"
pivot_root . outside
cd "$HOME"
umount --lazy /outside
rmdir /outside

# Not `exec`: a process that takes on another user would outlive the one that waits for it.
status=0
setpriv --reuid "$user" --regid "$user" --init-groups "$@" || status=$?
exit "$status"
