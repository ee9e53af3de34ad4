# libssh as Debian's source package: its archive for static programs needs OpenSSL and Kerberos; to
# be sourced after common.sh.
# shellcheck shell=bash disable=SC2154  # `cache`, `root` and `private` come from elsewhere
. "$root/scripts/lib/private_apt.sh"

# The source package's files are in $cache/libssh/source afterwards; nothing is fetched when they
# are. The newest version that the mirrors have.
provide_libssh_source() {
  local source=$cache/libssh/source work log
  if compgen -G "$source/*.dsc" >/dev/null; then return; fi
  mkdir -p "$cache/libssh"
  work=$(mktemp -d "$cache/libssh/fetch.XXXXXX")
  log=$work/log
  say "fetching the source of libssh, 11 MB with the package list"
  if fetch_libssh "$work" >"$log" 2>&1; then
    rm -rf "$source"
    mv -T "$work/package" "$source"
    rm -rf "$work"
    return
  fi
  tail -n 5 "$log" >&2
  rm -rf "$work"
  die "the source of libssh could not be fetched, see above; run scripts/setup again"
}

# A security fix may be in the list already, and its source not yet on the mirror.
fetch_libssh() {
  local work=$1 mirror version
  mirror=$(debian_mirror)
  make_private_apt "$work" "deb-src ${mirror:-http://deb.debian.org/debian/} bookworm main" \
    "deb-src http://deb.debian.org/debian-security bookworm-security main"
  apt-get "${private[@]}" update || return
  for version in $(apt-cache "${private[@]}" showsrc --only-source libssh |
    sed -n 's/^Version: //p' | sort -rV); do
    rm -rf "$work/package"
    mkdir "$work/package"
    if (cd "$work/package" && apt-get "${private[@]}" source --download-only "libssh=$version"); then
      return
    fi
  done
  return 1
}
