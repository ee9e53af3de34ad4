# Shared by the scripts; to be sourced. Expects `set -euo pipefail`.
# shellcheck shell=bash disable=SC2034  # variables for the scripts that source this

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tether
# Where the built programs lie; tests name another place.
build=${TETHER_BUILD:-$root/build/release}

say() { echo "$(basename "$0"): $*" >&2; }
die() { say "$*"; exit 1; }

# The mirror that apt uses on this machine for Debian's main archive; nothing when it knows none.
debian_mirror() {
  # shellcheck disable=SC2016  # apt's own placeholders
  apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
    awk '$2 == "bookworm" && $3 == "main" { print $1; exit }'
}

# minutes_seconds SECONDS
minutes_seconds() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# draw_bar LABEL PERCENT SECONDS_LEFT: on a terminal, over what was drawn before.
draw_bar() {
  local bar
  printf -v bar '%*s' $(($2 * 2 / 5)) ''
  printf '\r\033[K%s [%-40s] %3d %%, about %s left' "$1" "${bar// /#}" "$2" \
    "$(minutes_seconds "$3")" >&2
}
clear_bar() { if [ -t 2 ]; then printf '\r\033[K' >&2; fi; }

# show_log_progress LABEL LOG LINES: follows a log that will have about so many lines, until killed.
show_log_progress() {
  local begin=$SECONDS quarter=0 percent left
  while sleep 1; do
    percent=$(($(wc -l <"$2") * 100 / $3))
    if [ "$percent" -gt 99 ]; then percent=99; fi
    if [ "$percent" -eq 0 ]; then continue; fi
    left=$(((SECONDS - begin) * (100 - percent) / percent))
    if [ -t 2 ]; then
      draw_bar "$1" "$percent" "$left"
    elif [ $((percent / 25)) -ne "$quarter" ]; then
      quarter=$((percent / 25))
      say "$1: $percent %, about $(minutes_seconds "$left") left"
    fi
  done
}

# Reads ninja's output and shows its counter as a bar on a terminal, as a line each 10 % otherwise,
# with the time left. All else that ninja says is passed on, but for CMake's report of success.
show_ninja_progress() {
  local begin=$SECONDS tenth=-1 line finished total percent left
  while IFS= read -r line; do
    if [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]]; then
      finished=${BASH_REMATCH[1]} total=${BASH_REMATCH[2]}
      if [ "$finished" -eq 0 ]; then continue; fi
      percent=$((finished * 100 / total))
      left=$(((SECONDS - begin) * (total - finished) / finished))
      if [ -t 2 ]; then
        draw_bar building "$percent" "$left"
      elif [ $((percent / 10)) -ne "$tenth" ]; then
        tenth=$((percent / 10))
        say "built $percent %, $finished of $total steps, about $(minutes_seconds "$left") left"
      fi
    elif [[ $line != '-- '* && $line != 'ninja: no work to do.' ]]; then
      clear_bar
      printf '%s\n' "$line" >&2
    fi
  done
  clear_bar
}

# build_preset PRESET [TARGET...]: configures when that was never done; ninja sees to the rest.
build_preset() {
  local preset=$1 begin=$SECONDS
  shift
  cd "$root" || die "cannot enter $root"
  if [ ! -e "build/$preset/build.ninja" ]; then
    say "configuring build/$preset"
    local log=build/configure-$preset.log
    mkdir -p build
    cmake --preset "$preset" >"$log" 2>&1 || {
      tail -n 25 "$log" >&2
      die "cmake --preset $preset failed; its whole output is $root/$log"
    }
  fi
  cmake --build --preset "$preset" ${1:+--target "$@"} | show_ninja_progress ||
    die "cmake --build --preset $preset failed, see above"
  if [ $((SECONDS - begin)) -ge 5 ]; then
    say "build/$preset is up to date, after $(minutes_seconds $((SECONDS - begin)))"
  fi
}
