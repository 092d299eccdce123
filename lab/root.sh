#!/bin/sh
# Make DIRECTORY/lab-root: the Debian sid that every machine of the lab starts from.
#
#     lab/root.sh .test-data
#
# Only sid has HTCondor and Apptainer, and so Slurm, a registry and podman come from there too.
# Packages come from the Debian mirror that this machine's own apt configuration names, and nothing
# is installed here. Does nothing, at once, when it was made by this very script. Where it cannot be
# made that is said in one line, and the status is 0: the tests that need it are then skipped by name.
# A directory of an earlier script stays until a new one is made.
set -eu
umask 022

suite=sid
# Two systemd-standalone packages, or systemd itself would come as what others depend on.
packages=apptainer,squashfuse,squashfs-tools,fuse-overlayfs,mount,tzdata
packages=$packages,condor,slurmctld,slurmd,slurm-client,munge
packages=$packages,slurmdbd,mariadb-server-core,mariadb-client-core
packages=$packages,docker-registry,podman,crun,uidmap,ca-certificates
packages=$packages,systemd-standalone-sysusers,systemd-standalone-tmpfiles
user=ordinary
id=20001

mkdir -p "${1:?the directory to write into}"
into=$(cd "$1" && pwd)
made=$into/lab-root
log=$into/lab-root.log

give_up() {
    then="the lab of schedulers cannot start"
    [ ! -d "$made" ] || then="the one that an earlier script made stays"
    echo "not made: $made ($1); $then" >&2
    exit 0
}

stamp=$(sha256sum <"$0")
[ "$(cat "$made/made-by" 2>/dev/null)" != "$stamp" ] || exit 0
[ "$(id -u)" = 0 ] || give_up "only root can make it"
command -v mmdebstrap >/dev/null 2>&1 || give_up "this machine has no mmdebstrap"
[ ! -e "$into/lab/state.json" ] || give_up "a lab runs on the old one; make lab-down ends it"

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
APT::Install-Recommends "false";
END

cat >"$work/finish" <<END
set -eu
cd "\$1"
rm -rf etc/apt/sources.list* etc/apt/apt.conf.d/99mmdebstrap var/log/* var/cache/debconf/*-old
# Each lab makes keys of its own.
rm -f etc/munge/munge.key
# As root, Apptainer asks for every capability there is and fails where the machine withholds one
# (CAP_SYS_RESOURCE in many virtual machines); with "file" it asks for those a user was given.
# HTCondor tries Apptainer as root before it offers a node for jobs with a container.
conf=etc/apptainer/apptainer.conf
sed -i 's/^root default capabilities *=.*/root default capabilities = file/' \$conf
grep -q '^root default capabilities = file' \$conf
echo '$user:x:$id:$id::/home/$user:/bin/bash' >>etc/passwd
echo '$user:x:$id:' >>etc/group
for each in etc/subuid etc/subgid; do echo '$user:200000:65536' >>\$each; done
END

# Debian's package of HTCondor lacks the SIF file that a node tries first, and a node that cannot
# run it never gets a job whose image is a SIF file. It is made of the directory that is there.
cat >"$work/probe" <<'END'
set -eu
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t tmpfs tmpfs tmp
pivot_root . mnt
umount --lazy /mnt
cd /usr/libexec/condor
apptainer build exit_37.sif singularity_test_sandbox
END

echo "making $made from Debian $suite (a few minutes)"
LC_ALL=C mmdebstrap --mode=root --variant=essential --format=directory --include="$packages" \
    --aptopt="$work/apt.conf" --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --customize-hook="sh -e '$work/finish' \"\$1\"" \
    "$suite" "$work/root" "deb [signed-by=$keys] $uri $suite main" >"$log" 2>&1 ||
    give_up "Debian $suite is not in reach or does not install; $log says more"
unshare --mount --pid --fork sh -e "$work/probe" "$work/root" >>"$log" 2>&1 ||
    give_up "Apptainer does not run in it; $log says more"

echo "$stamp" >"$work/root/made-by"
chmod 700 "$work/root" # its setuid programs are for nobody else here
if [ -e "$made" ]; then mv "$made" "$work/old"; fi
mv "$work/root" "$made"
rm "$log"
