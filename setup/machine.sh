#!/bin/sh
# Make sure this machine has the tools that `make demo` and `make test` use.
#
# Installs what is missing with apt when run as root on Debian or Ubuntu; otherwise says which packages
# to install. Does nothing, at once, when everything is there.
set -eu

# command:package[,package]
# netavark gives containers their network through iptables, and its package does not ask for it.
# Not charliecloud as a whole: that brings Docker and its service.
wanted="
podman:podman
runc:runc
crun:crun
conmon:conmon
netavark:netavark
iptables:iptables
buildah:buildah
skopeo:skopeo
umoci:umoci
mksquashfs:squashfs-tools
bwrap:bubblewrap
ch-run:charliecloud-runtime
newuidmap:uidmap
mmdebstrap:mmdebstrap
qemu-aarch64:qemu-user
gcc:gcc,libc6-dev
docker-registry:docker-registry
openssl:openssl
ip:iproute2
ssh:openssh-client
sshd:openssh-server
rsync:rsync
"

# netavark lives outside PATH.
PATH="$PATH:/usr/sbin:/sbin:/usr/lib/podman:/usr/libexec/podman"

missing=""
for pair in $wanted; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing $(echo "${pair#*:}" | tr , ' ')"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "these packages are needed and not installed:$missing" >&2
    echo "  next: as root, apt-get install$missing" >&2
    exit 1
fi

echo "installing$missing"
export DEBIAN_FRONTEND=noninteractive
attempt() {
    apt-get -q -o Acquire::Retries=3 update >/dev/null || echo "apt-get update: not every source answered; going on" >&2
    # shellcheck disable=SC2086  # a list of words is meant
    apt-get -q -y -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 install --no-install-recommends $missing >"$log" 2>&1
}
# The packages docker-registry and openssh-server start services, now and at every boot; the tests
# run servers of their own. Debian Policy, section 9.3.3: policy-rc.d answers 101 where no service may start.
policy=/usr/sbin/policy-rc.d
ours=""
log=$(mktemp)
trap 'rm -f "$log" $ours' EXIT
trap 'exit 1' HUP INT TERM
if [ ! -e "$policy" ]; then
    ours=$policy
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
attempt || { sleep 5; attempt; } || {
    tail -n 30 "$log" >&2
    echo "could not install:$missing" >&2
    exit 1
}
# package:service
for each in docker-registry:docker-registry openssh-server:ssh; do
    case " $missing " in
    *" ${each%%:*} "*) update-rc.d "${each#*:}" disable >/dev/null 2>&1 || true ;;
    esac
done
