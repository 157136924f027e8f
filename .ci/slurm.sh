#!/usr/bin/env bash
# Starts a Slurm of one node with two cores for the tests, or ends it: slurm.sh start FOLDER, slurm.sh stop FOLDER.
# It belongs to this user and lives in FOLDER alone (an empty one with a short path), with ports of its own, so that a
# Slurm that the machine may have is left alone. Its commands find it through SLURM_CONF=FOLDER/slurm.conf.
set -u
action=$1 folder=$2
PATH="$PATH:/usr/sbin:/sbin"

give_up() {
  echo "no Slurm for the tests: $1" >&2
  exit 1
}

install() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || give_up "slurmctld is not installed (Debian: slurm-wlm, munge)"
  echo "installing Slurm for the tests (slurm-wlm, munge)" >&2
  options="-o Acquire::Retries=0 -o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15 -o DPkg::Lock::Timeout=30"
  export DEBIAN_FRONTEND=noninteractive
  for step in update "install -y --no-install-recommends slurm-wlm munge"; do
    # shellcheck disable=SC2086 # The options and the step are several words.
    timeout --foreground -k 10 240 apt-get $options $step </dev/null >>"$folder/apt.log" 2>&1 ||
      give_up "apt-get failed or took too long: $(tail -n 1 "$folder/apt.log")"
  done
}

free_ports() { # Two ports that nobody listens at.
  python3 -c 'import socket as s; a, b = s.create_server(("", 0)), s.create_server(("", 0)); print(a.getsockname()[1], b.getsockname()[1])'
}

start() {
  command -v slurmctld >/dev/null && command -v munged >/dev/null || install
  chmod 711 "$folder" # munged wants others to be able to reach its socket.
  mkdir "$folder/state" "$folder/spool"
  (umask 077 && head -c 1024 /dev/urandom >"$folder/munge.key")
  host=$(hostname -s)
  read -r controller node < <(free_ports)
  cat >"$folder/slurm.conf" <<END
ClusterName=tests
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller
SlurmctldPidFile=$folder/slurmctld.pid
SlurmctldLogFile=$folder/slurmctld.log
StateSaveLocation=$folder/state
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
SlurmdPort=$node
SlurmdPidFile=$folder/slurmd.pid
SlurmdLogFile=$folder/slurmd.log
SlurmdSpoolDir=$folder/spool
SlurmdParameters=config_overrides
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE
END
  export SLURM_CONF="$folder/slurm.conf"
  timeout 30 munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/munge.seed" >>"$folder/start.log" 2>&1 &&
    timeout 30 slurmctld >>"$folder/start.log" 2>&1 && timeout 30 slurmd >>"$folder/start.log" 2>&1 ||
    give_up "$(tail -n 1 "$folder/start.log")"
  until=$((SECONDS + 60))
  while [ $SECONDS -lt $until ]; do
    [ "$(timeout 10 sinfo -h -o %t 2>/dev/null)" = idle ] && return
    sleep 0.5
  done
  give_up "its node does not become idle; slurmd: $(tail -n 1 "$folder/slurmd.log")"
}

stop() {
  [ -f "$folder/slurm.conf" ] || return 0
  export SLURM_CONF="$folder/slurm.conf"
  timeout 10 scancel --me >/dev/null 2>&1
  timeout 10 scancel --me --signal=KILL --full >/dev/null 2>&1 # Without waiting for jobs that ignore the first.
  for _ in $(seq 20); do
    [ -n "$(timeout 3 squeue -h 2>/dev/null)" ] || break
    sleep 0.5
  done
  pids=$(cat "$folder"/{slurmd,slurmctld,munged}.pid 2>/dev/null)
  for signal in TERM KILL; do
    # shellcheck disable=SC2086 # Several process ids.
    kill -s "$signal" $pids 2>/dev/null || return 0
    for _ in $(seq 20); do
      # shellcheck disable=SC2086
      kill -0 $pids 2>/dev/null || return 0
      sleep 0.25
    done
  done
}

"$action"
