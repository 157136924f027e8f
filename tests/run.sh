#!/usr/bin/env bash
# Lints, checks imports and types, and runs all tests; --fast leaves out tests marked contract, committed and processes.
# Other arguments go to pytest, e.g. bash tests/run.sh tests/runners/test_plan.py -k dry
set -u
. "$(dirname "${BASH_SOURCE[0]}")/../runners/setup.sh"
cd "$root" || exit 1

if [ "${1:-}" = --fast ]; then
  shift
  set -- -m "not contract and not committed and not processes" "$@"
fi
failed=
"$python" -m ruff check . || failed="$failed ruff"
"$(dirname "$python")/lint-imports" --no-cache || failed="$failed imports"
types=$(mktemp)
"$python" -m mypy >"$types" 2>&1 &
mypy=$!
trap 'kill "$mypy" 2>/dev/null; rm -f "$types"' EXIT
# One test process per core with one thread each (more threads than cores slow torch down many times over), another one
# for tests that wait, and tests that share runs in one process.
OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false "$python" -m pytest -n logical --dist loadgroup -q "$@" || failed="$failed pytest"
wait "$mypy" || failed="$failed mypy"
cat "$types"
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
