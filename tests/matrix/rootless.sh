#!/bin/sh
# Run a command as an ordinary user whom only this process and its children know, with ids of its
# own to give to others: what a rootless podman asks of a machine. To be started in a mount namespace.
#
#     rootless.sh FOLDER UID COMMAND...
#
# FOLDER is the user's; its home and its runtime directory are in it.
set -eu
umask 022

folder=$1
uid=$2
shift 2

mkdir -p "$folder/home" "$folder/run" "$folder/etc"
cp /etc/passwd /etc/group "$folder/etc/"
echo "batch:x:$uid:$uid::$folder/home:/bin/sh" >>"$folder/etc/passwd"
echo "batch:x:$uid:" >>"$folder/etc/group"
echo "batch:200000:65536" >"$folder/etc/subuid"
echo "batch:200000:65536" >"$folder/etc/subgid"
for each in passwd group subuid subgid; do
    # A machine without subordinate ids may lack the files; this is not the place to make them.
    [ -e "/etc/$each" ] || { echo "no /etc/$each on this machine (package uidmap)" >&2; exit 1; }
    mount --bind "$folder/etc/$each" "/etc/$each"
done
chown "$uid:$uid" "$folder" "$folder/home" "$folder/run"
chmod 700 "$folder/run"
cd "$folder/home"
export HOME="$folder/home" USER=batch LOGNAME=batch XDG_RUNTIME_DIR="$folder/run"
exec setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@"
