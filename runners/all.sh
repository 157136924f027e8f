#!/usr/bin/env bash
# From nothing to the table: makes the environment, runs a suite (default: quick), writes tables, figures and one page.
# With --data FILE: compares ways to train on your own texts instead, and trains the model.
# What is done is not done again, so the same command goes on after a break. Options: bash runners/all.sh --help
set -u
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
export AMIX_STARTED_BY=all.sh
verb=all
for argument in "$@"; do
  case $argument in --data | --data=*) verb=compare ;; esac
done
exec "$python" -P -m runners "$verb" "$@"
