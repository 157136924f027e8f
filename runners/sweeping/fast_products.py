"""The library with which MKL uses an AMD processor's full instruction set: setup.sh makes it, every command loads it.

Not only workers do: a run then has the same digits whether a worker, or the process of the command itself, does it.
"""

import os
import sys
from pathlib import Path

LIBRARY = Path(sys.prefix) / "lib" / "mkl_full_speed.so"
VARIABLE = "LD_PRELOAD"


def fast_products() -> dict[str, str]:
    """Return the variable that makes a process load the library; nothing if the library was not made.

    The loader reads the variable as a list, so a path with a separator in it cannot be given.
    """
    usable = LIBRARY.is_file() and not set(str(LIBRARY)) & set(" :")
    return {VARIABLE: str(LIBRARY)} if usable else {}


def start_with_fast_products() -> None:
    """Start this process anew with the library, unless the user has set the variable, be it to nothing."""
    if fast_products() and VARIABLE not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | fast_products())
