# Sourced by runners/all.sh and tests/run.sh: makes the environment once and sets `root` and `python`.
# The environment is .venv in the project's folder, or the folder given by AMIX_VENV.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
environment=${AMIX_VENV:-$root/.venv}
python=$environment/bin/python
installed=$environment/requirements-installed.txt

stop() {
  printf '%s\n' "$@" >&2
  exit 1
}

new_enough() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

base_python() {
  local candidate without_venv=
  for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
    new_enough "$candidate" || continue
    if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
      echo "$candidate"
      return
    fi
    without_venv=$candidate
  done
  [ -z "$without_venv" ] || stop \
    "$without_venv is new enough but cannot create environments: its modules venv and ensurepip are missing." \
    "On Debian or Ubuntu: apt-get install python3-venv"
  stop "Python 3.11 or newer is needed, but none of python3, python3.14 ... python3.11, python is." \
    "Install it, or set AMIX_VENV to an environment that has it."
}

make_environment() {
  local base
  base=$(base_python) || exit 1
  echo "Creating $environment with $($base --version)"
  "$base" -m venv "$environment" || stop "$environment could not be created: is the folder writable?"
}

# torch is installed first, on its own: packages that depend on it must find the pinned build instead of choosing one.
install_requirements() {
  echo "Installing requirements.txt into $environment (once, a few minutes)"
  local torch
  torch=$(grep '^torch==' "$root/requirements.txt")
  "$python" -m pip install --quiet --quiet --disable-pip-version-check "$torch" &&
    "$python" -m pip install --quiet --quiet --disable-pip-version-check -r "$root/requirements.txt" &&
    cp "$root/requirements.txt" "$installed" ||
    stop "Installation failed; see pip's message above. The same command resumes from there."
}

# On AMD processors MKL, torch's library for matrix products, leaves half of the instruction set unused unless this function
# says otherwise. Every command loads the library (runners/sweeping/fast_products.py); without a C compiler it is left out.
# $1: description of the processor.
make_products_fast() {
  local library=$environment/lib/mkl_full_speed.so compiler
  [ -e "$library" ] && return
  [ "$(uname -sm)" = "Linux x86_64" ] && grep -q AuthenticAMD "$1" 2>/dev/null || return 0
  compiler=$(command -v cc || command -v gcc || command -v clang) || return 0
  echo 'int mkl_serv_intel_cpu_true(void) { return 1; }' |
    "$compiler" -shared -fPIC -x c -o "$library.new" - 2>/dev/null && mv "$library.new" "$library"
  return 0
}

new_enough "$python" || make_environment
cmp -s "$root/requirements.txt" "$installed" || install_requirements
make_products_fast /proc/cpuinfo
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
