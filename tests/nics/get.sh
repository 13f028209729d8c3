#!/bin/sh
# Gets what the tests of network cards need: installs QEMU if it is missing, and unpacks kernels of
# Debian below DIR.
#
#   get.sh DIR [VERSION...]     the default versions are 6.12 and 6.18
#
# Packages come from this machine's Debian mirror; its own configuration is not changed. Needs root
# on Debian.
set -eu
dir=$(mkdir -p "$1" && cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- 6.12 6.18

arch=$(dpkg --print-architecture)
[ "$arch" = amd64 ] || { echo "kernels for amd64 are needed, and this is $arch" >&2; exit 1; }

# The address and name of the release that this machine uses.
about() { apt-get indextargets --format '$(LABEL)|$(COMPONENT)|$(REPO_URI)|$(CODENAME)' 'Created-By: Packages' | awk -F'|' '$1 == "Debian" && $2 == "main"' | head -n 1; }
[ -n "$(about)" ] || apt-get update -qq
IFS='|' read -r _ _ uri release <<EOF
$(about)
EOF
[ -n "$uri" ] || { echo "no source of Debian is configured" >&2; exit 1; }
release=${release%%-*}

# A separate configuration with the machine's release and the ones that have the kernels.
apt=$dir/.apt
mkdir -p "$apt/sources" "$apt/lists/partial" "$apt/archives/partial"
cat >"$apt/sources/debian.sources" <<EOF
Types: deb
URIs: $uri
Suites: $release $release-backports trixie trixie-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
EOF
with() { "$@" -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$apt/sources" -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt" -o APT::Sandbox::User=root; }
with apt-get update -qq

if ! qemu-system-x86_64 -device help 2>/dev/null | grep -q '"igb"'; then
	from=$release
	[ "$release" != bookworm ] || from=$release-backports # version 10, the first with igb that works
	echo "installing qemu-system-x86 of $from"
	DEBIAN_FRONTEND=noninteractive with apt-get install -qq -y --no-install-recommends -t "$from" qemu-system-x86 >/dev/null
fi
for tool in cc:gcc xz:xz-utils; do
	command -v "${tool%%:*}" >/dev/null || { echo "installing ${tool##*:}"; DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${tool##*:}" libc6-dev >/dev/null; }
done

for version; do
	name=$(with apt-cache pkgnames "linux-image-$version." | grep -E "^linux-image-$version\.[0-9]+\+deb[0-9]+-amd64$" | sort -V | tail -n 1)
	if [ -z "$name" ]; then
		echo "there is no kernel $version here any more: left out"
		continue
	fi
	echo "unpacking $name below $dir"
	rm -rf "$dir/$version" && mkdir "$dir/$version"
	(cd "$dir/$version" && with apt-get download -qq "$name" && dpkg-deb -x ./*.deb . && rm ./*.deb)
done
rm -rf "$apt"
