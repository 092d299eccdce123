#!/bin/sh
# Become the lab's network: a bridge in a network namespace that nothing outside can reach.
#
#     unshare --mount --net switch.sh
#
# Prints its process id and then only waits. /sys shows the new namespace's interfaces.
set -eu

mount -t sysfs -o ro sysfs /sys
ip link set lo up
ip link add lab type bridge
ip link set lab up
echo $$
exec sleep infinity >/dev/null 2>&1
