#!/usr/bin/env bash
# From nothing to the table: makes the environment, runs a suite (default: quick), writes tables, figures and one page.
# With --data FILE: compares methods on your own texts instead, and trains the model.
# Finished work is not repeated, so the same command resumes after an interruption. Options: bash runners/all.sh --help
set -u
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
export AMIX_STARTED_BY=all.sh
command=all
for argument in "$@"; do
  case $argument in --data | --data=*) command=compare ;; esac
done
exec "$python" -P -m runners "$command" "$@"
