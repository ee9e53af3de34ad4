# A virtio-vsock device in a process of its own, for hosts without /dev/vhost-vsock; to be sourced
# after common.sh.
# shellcheck shell=bash disable=SC2154  # `cache` comes from there
. "$root/scripts/lib/private_apt.sh"

# The program is in the PATH or in the tools' cache afterwards. It is in no Debian before sid, and
# runs on 12 all the same. sid does not become one of this machine's sources: apt gets a state of its
# own for the one download, and verifies it as any other.
provide_vsock_device() {
  local name=vhost-device-vsock tools=$cache/tools
  if command -v "$name" >/dev/null || [ -x "$tools/bin/$name" ]; then return; fi
  local work log mirror
  work=$(mktemp -d)
  log=$work/log
  mirror=$(debian_mirror)
  say "fetching $name from Debian sid, 12 MB with the package list"
  if fetch_from_sid "$name" "${mirror:-http://deb.debian.org/debian/}" "$work" >"$log" 2>&1 &&
    install_tool "$name" "$work" "$tools" >>"$log" 2>&1; then
    rm -rf "$work"
    return
  fi
  say "$name is not there, and \`vch run --link vsock\` needs it, nothing else: $(grep -m 1 '^E: ' "$log" || tail -n 1 "$log"); run scripts/setup again, or put $name into the PATH"
  rm -rf "$work"
}

# fetch_from_sid PACKAGE MIRROR WORK: its .deb, verified, in WORK.
fetch_from_sid() {
  local package=$1 mirror=$2 work=$3 private
  make_private_apt "$work" "deb $mirror sid main"
  apt-get "${private[@]}" update &&
    (cd "$work" && apt-get "${private[@]}" download "$package")
}

# install_tool PACKAGE WORK TOOLS: unpacks WORK's .deb beside other versions, and lets TOOLS/bin point
# at it if it runs.
install_tool() {
  local package=$1 work=$2 tools=$3 deb version new=$3/.new-$$
  deb=$(echo "$work/$package"_*.deb)
  version=$(dpkg-deb -f "$deb" Version) || return
  dpkg-deb -x "$deb" "$work/tree" && "$work/tree/usr/bin/$package" --version &&
    mkdir -p "$tools/bin" "$new" && cp -a "$work/tree/." "$new" &&
    rm -rf "$tools/$package-$version" && mv -T "$new" "$tools/$package-$version" &&
    ln -sfn "../$package-$version/usr/bin/$package" "$tools/bin/$package"
}
