# apt with a state of its own, for what is in none of this machine's sources; to be sourced after
# common.sh. What it gets is verified as by any apt.
# shellcheck shell=bash disable=SC2034  # for the scripts that source this

# make_private_apt WORK LINE...: WORK gets these sources, `private` the options for apt-get and
# apt-cache. A line says what stands behind the keyring: "deb MIRROR sid main" for instance.
make_private_apt() {
  local work=$1 line
  shift
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
  for line in "$@"; do
    echo "${line%% *} [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${line#* }"
  done >"$work/list"
  private=(-q -o "Dir::Etc::sourcelist=$work/list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$work/lists" -o Dir::State::status=/dev/null -o "Dir::Cache=$work/cache"
    -o Acquire::Languages=none -o Acquire::Retries=2 -o Acquire::http::Timeout=20
    -o APT::Sandbox::User=root -o APT::Update::Error-Mode=any)
}
