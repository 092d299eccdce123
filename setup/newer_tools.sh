#!/bin/sh
# Fetch the registry clients that Debian 12 does not have yet (crane, oras) into DIRECTORY/tools/bin.
#
#     setup/newer_tools.sh .test-data
#
# They come from a newer suite of the Debian mirror that this machine's own apt configuration names,
# checked by apt as usual, and nothing is installed: apt works in a directory of its own. They are Go
# programs that need no more than an older C library. Does nothing, at once, when they are there.
# Where that suite cannot be reached it says so in one line and succeeds: tests then skip by name.
set -eu

wanted="crane oras"
suites="forky sid"

mkdir -p "${1:?the directory to write into}/tools/bin"
into=$(cd "$1/tools" && pwd)

missing() {
    for tool in $wanted; do
        [ -x "$into/bin/$tool" ] || printf '%s ' "$tool"
    done
}

give_up() {
    echo "not fetched: $(missing)($1); the tests that use them will be skipped" >&2
    exit 0
}

[ -n "$(missing)" ] || exit 0
for program in apt-get dpkg-deb; do
    command -v "$program" >/dev/null 2>&1 || give_up "this machine has no $program"
done

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

work=$(mktemp -d "$into/fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$work"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/root"

own_apt() {
    apt-get -q -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o Acquire::Languages=none \
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=1 \
        -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 "$@"
}

for suite in $suites; do
    echo "deb [signed-by=$keys] $uri $suite main" >"$work/sources.list"
    own_apt update >"$work/log" 2>&1 || continue
    for tool in $(missing); do
        (cd "$work" && own_apt download "$tool") >>"$work/log" 2>&1 || continue
        dpkg-deb -x "$work/$tool"_*.deb "$work/root" && rm "$work/$tool"_*.deb || continue
        # Only what starts here is kept; a newer C library may be asked for one day.
        "$work/root/usr/bin/$tool" --help >>"$work/log" 2>&1 || continue
        mv "$work/root/usr/bin/$tool" "$into/bin/$tool"
        echo "fetched $tool from Debian $suite"
    done
    [ -n "$(missing)" ] || exit 0
done
give_up "not in reach in Debian $(echo "$suites" | sed 's/ / or /g')"
