#!/bin/sh
# Make DIRECTORY/apptainer-root: a small Debian sid in which a real Apptainer judges SIF files.
#
#     setup/apptainer_root.sh .test-data
#
# Debian 12 has no Apptainer and neither has any newer release, only sid. Packages come from the
# Debian mirror that this machine's own apt configuration names, and nothing is installed here:
# tests/apptainer/runtime.py enters the directory. Does nothing, at once, when it was made by this
# very script. Where it cannot be made that is said in one line, and the status is 0: the tests that
# need it are then skipped by name. A directory of an earlier script stays until a new one is made.
set -eu
umask 022

suite=sid
packages=apptainer,squashfuse,fuse-overlayfs,mount,tzdata
user=ordinary
id=20001

mkdir -p "${1:?the directory to write into}"
into=$(cd "$1" && pwd)
made=$into/apptainer-root
log=$into/apptainer-root.log

give_up() {
    then="the tests that run Apptainer will be skipped"
    [ ! -d "$made" ] || then="the one that an earlier script made stays"
    echo "not made: $made ($1); $then" >&2
    exit 0
}

stamp=$(sha256sum <"$0")
[ "$(cat "$made/made-by" 2>/dev/null)" != "$stamp" ] || exit 0
[ "$(id -u)" = 0 ] || give_up "only root can make it"
command -v mmdebstrap >/dev/null 2>&1 || give_up "this machine has no mmdebstrap"

# The first source of this machine's own suite: security and updates have suites of other names.
# shellcheck disable=SC1091
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
# shellcheck disable=SC2016  # apt fills these in
uri=$(apt-get indextargets --no-release-info --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' \
    'Created-By: Packages' 2>/dev/null |
    awk -v suite="$codename" '$1 == suite && $2 == "main" { print $3; exit }')
[ -n "$uri" ] || give_up "apt knows no source of this Debian suite"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keys" ] || give_up "this machine has no $keys"

work=$(mktemp -d "$made-XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$work" # apt fetches as a user of its own

# How this machine reaches its mirror: proxy, certificates, clock checks.
apt-config dump Acquire |
    grep -E '^Acquire::(https?::[A-Za-z0-9:._-]+|Check-[A-Za-z-]+) "[^"]+";$' \
        >"$work/apt.conf" || true
cat >>"$work/apt.conf" <<'END'
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
END

cat >"$work/finish" <<END
set -eu
cd "\$1"
rm -rf etc/apt/sources.list* etc/apt/apt.conf.d/99mmdebstrap var/log/* var/cache/debconf/*-old
# Apptainer shows a job these files of its host, so there must be some, and none of this machine's.
printf '127.0.0.1 localhost\n' >etc/hosts
echo localhost >etc/hostname
: >etc/resolv.conf
chmod 644 etc/hosts etc/hostname etc/resolv.conf
# As root, Apptainer asks for every capability there is and fails where the machine withholds one
# (CAP_SYS_RESOURCE in many virtual machines); with "file" it asks for those a user was given.
conf=etc/apptainer/apptainer.conf
sed -i 's/^root default capabilities *=.*/root default capabilities = file/' \$conf
grep -q '^root default capabilities = file' \$conf
echo '$user:x:$id:$id::/home/$user:/bin/sh' >>etc/passwd
echo '$user:x:$id:' >>etc/group
# Open to everybody as udev has it; a machine without udev has it for root alone.
mknod -m 666 dev/fuse c 10 229
echo '$stamp' >made-by
END

echo "making $made from Debian $suite (a few minutes)"
LC_ALL=C mmdebstrap --mode=root --variant=essential --format=directory --include="$packages" \
    --aptopt="$work/apt.conf" --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --customize-hook="sh -e '$work/finish' \"\$1\"" \
    "$suite" "$work/root" "deb [signed-by=$keys] $uri $suite main" >"$log" 2>&1 ||
    give_up "Debian $suite is not in reach or does not install; $log says more"

chmod 700 "$work/root" # its setuid programs are for nobody else here
if [ -e "$made" ]; then mv "$made" "$work/old"; fi
mv "$work/root" "$made"
rm "$log"
