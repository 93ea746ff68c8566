# shellcheck shell=bash disable=SC2034
# What the scripts of this folder share: where things are, how progress is shown, how processes are
# started and stopped, how to wait. To be sourced, after `set -euo pipefail`.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
STATE=${SLIPWAY_STATE:-$ROOT/.slipway}
TOOLS=$ROOT/.slipway/tools
LOGS=$STATE/logs
PIDS=$STATE/pid
BIN=${CARGO_TARGET_DIR:-$ROOT/target}/debug
if [ -n "${SUDO_USER:-}" ]; then
  # Under sudo the toolchain is the caller's.
  caller=$(getent passwd "$SUDO_USER" | cut -d: -f6)
  if [ -d "$caller/.cargo" ]; then export CARGO_HOME="$caller/.cargo" PATH="$caller/.cargo/bin:$PATH"; fi
  if [ -d "$caller/.rustup" ]; then export RUSTUP_HOME="$caller/.rustup"; fi
fi
export PATH="$HOME/.cargo/bin:$TOOLS/bin:$PATH:/usr/sbin:/sbin"
mkdir -p "$LOGS" "$PIDS" "$TOOLS/bin"

bold='' dim='' red='' green='' reset='' erase='' newline=$'\n'
if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' reset=$'\e[0m' erase=$'\r\e[K' newline=''; fi

title() { printf '\n%s%s%s\n' "$bold" "$*" "$reset"; }
note() { printf '  %s\n' "$*"; }
ok() { printf '  %s✓%s %s\n' "$green" "$reset" "$*"; }
die() {
  printf '  %s✗ %s%s\n' "$red" "$*" "$reset" >&2
  exit 1
}

# step NAME LOG COMMAND...: runs it with its output in LOG; if it fails, shows the end of LOG and ends the script.
step() {
  local name=$1 log=$2 began=$SECONDS code=0
  shift 2
  printf '  … %s %s(log: %s)%s%s' "$name" "$dim" "${log#"$ROOT"/}" "$reset" "$newline"
  "$@" >"$log" 2>&1 </dev/null || code=$?
  if [ "$code" -ne 0 ]; then
    printf '\n  %s✗ %s failed (exit %s). The end of %s:%s\n' "$red" "$name" "$code" "${log#"$ROOT"/}" "$reset" >&2
    tail -n 25 "$log" | sed 's/^/    | /' >&2
    exit 1
  fi
  printf '%s' "$erase"
  ok "$name ($((SECONDS - began)) s)"
}

# until_true SECONDS COMMAND...: polls until the command succeeds; fails when the time is over.
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.2
  done
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@" 2>/dev/null || sudo "$@"; fi
}

# Whether the process NAME that start_process started is alive, and still that very process.
alive() {
  local file=$PIDS/$1 pid born
  [ -f "$file" ] || return 1
  read -r pid born <"$file"
  [ "$(process_birth "$pid")" = "$born" ]
}

process_birth() { awk '{sub(/^.*\) /, ""); if ($1 != "Z") print $20}' "/proc/$1/stat" 2>/dev/null; }

# start_process NAME COMMAND...: in the background with its own session; log and pid files are named after it.
start_process() {
  local name=$1
  shift
  setsid "$@" >>"$LOGS/$name.log" 2>&1 </dev/null &
  remember "$name" $!
}

remember() { printf '%s %s\n' "$2" "$(process_birth "$2")" >"$PIDS/$1"; }

# stop_process NAME [SECONDS]: SIGTERM, and SIGKILL if that does not end it in time.
stop_process() {
  local name=$1 limit=${2:-20} pid
  if alive "$name"; then
    read -r pid _ <"$PIDS/$name"
    as_root kill -TERM "$pid" 2>/dev/null || true
    if ! until_true "$limit" gone "$name"; then
      as_root kill -KILL "$pid" 2>/dev/null || true
      until_true 5 gone "$name" || true
    fi
    ok "$name stopped"
  fi
  rm -f "$PIDS/$name"
}

gone() { ! alive "$1"; }

# The first free TCP port of 127.0.0.1 from FROM on, below the range that outgoing connections use.
free_port() {
  local port=$1
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
  echo "$port"
}

answers() { (exec 3<>"/dev/tcp/${1%:*}/${1##*:}") 2>/dev/null; }

engine_answers() { docker -H "$1" version --format '{{.Server.Version}}'; }

# Processes called dockerd in this network namespace. A second one would tear down the first one's bridge and firewall rules.
dockerds_here() {
  local pid
  for pid in $(pgrep -x dockerd || true); do
    if [ "$(as_root readlink "/proc/$pid/ns/net")" = "$(readlink /proc/self/ns/net)" ]; then echo "$pid"; fi
  done
}

no_foreign_engine() {
  local pids
  pids=$(dockerds_here)
  [ -z "$pids" ] || die "a Docker engine runs already (process $pids) but not at the usual socket: set DOCKER_HOST to its socket"
}

# start_engine NAME FOLDER: a Docker engine of our own; its data in FOLDER, its socket /run/slipway-NAME/docker.sock.
start_engine() {
  local name=$1 folder=$2 run=/run/slipway-$1 pid
  as_root mkdir -p "$folder" "$run"
  as_root rm -f "$run/docker.pid"
  # shellcheck disable=SC2016  # the inner shell expands these
  pid=$(as_root sh -c 'log=$1; shift; setsid "$@" >>"$log" 2>&1 </dev/null & echo $!' sh "$LOGS/$name.log" \
    dockerd --data-root "$folder" --exec-root "$run/exec" --pidfile "$run/docker.pid" -H "unix://$run/docker.sock" \
    --group "$(id -gn)")
  remember "$name" "$pid"
  until_true 60 engine_answers "unix://$run/docker.sock" || {
    tail -n 20 "$LOGS/$name.log" >&2
    die "the Docker engine does not answer within 60 s; its log: $LOGS/$name.log"
  }
}

# remove_engine FOLDER RUN: the data and the sockets of an engine that has ended, also of one that was killed and
# left containers, their shims and mounts behind.
remove_engine() {
  local folder=$1 run=$2 containers pid mount id
  containers=$(as_root ls "$folder/containers" 2>/dev/null || true)
  # What belongs to an engine names its folders on its command line.
  for pid in $(pgrep -f -- "(-root|-address|-config|-state|-workdir)[ =]($folder|$run)/" || true); do
    [ "$pid" = $$ ] || as_root kill -KILL "$pid" 2>/dev/null || true
  done
  # Without their shims containers would run on; their groups have their ids.
  for id in $containers; do
    find /sys/fs/cgroup -path "*$id*" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u |
      while read -r pid; do as_root kill -KILL "$pid" 2>/dev/null || true; done
  done
  # The innermost mounts first.
  awk '{print $5}' /proc/self/mountinfo | sort -r | while read -r mount; do
    case $mount in
      "$folder" | "$folder"/* | "$run" | "$run"/*) as_root umount -l "$mount" || true ;;
    esac
  done
  as_root rm -rf "$folder" "$run"
}
