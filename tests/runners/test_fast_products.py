"""The library that lets MKL use an AMD processor's full instruction set: made by setup.sh, loaded by workers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def made(folder: Path, processor: str, **variables: str) -> Path:
    """The library's path after setup.sh has made it, or not, in an environment of this folder."""
    (folder / "bin").mkdir(parents=True)
    (folder / "lib").mkdir()
    (folder / "bin/python").symlink_to(sys.executable)
    shutil.copy(ROOT / "requirements.txt", folder / "requirements-installed.txt")
    described = folder / "cpuinfo"
    described.write_text(processor)
    library = folder / "lib/mkl_full_speed.so"
    script = f'. runners/setup.sh; rm -f "{library}"; make_products_fast "{described}"'
    subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=os.environ | {"AMIX_VENV": str(folder)} | variables, check=True
    )
    return library


pytestmark = [
    pytest.mark.skipif(not shutil.which("cc") and not shutil.which("gcc"), reason="no C compiler is installed"),
    pytest.mark.skipif(os.uname().sysname != "Linux" or os.uname().machine != "x86_64", reason="MKL is for x86-64"),
]


def test_it_is_made_on_amd_processors_only(tmp_path: Path) -> None:
    library = made(tmp_path / "amd", "vendor_id\t: AuthenticAMD\n")
    symbols = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).mkl_serv_intel_cpu_true())"
    assert subprocess.check_output([sys.executable, "-c", symbols, library], text=True).strip() == "1"
    assert not made(tmp_path / "intel", "vendor_id\t: GenuineIntel\n").exists()


def test_without_a_compiler_nothing_is_made_and_nothing_fails(tmp_path: Path) -> None:
    commands = tmp_path / "commands"
    commands.mkdir()
    for name in ("uname", "grep", "cmp", "dirname", "rm"):
        (commands / name).symlink_to(str(shutil.which(name)))
    (commands / "bash").symlink_to(str(shutil.which("bash")))
    assert not made(tmp_path / "amd", "vendor_id\t: AuthenticAMD\n", PATH=str(commands)).exists()


SHOWN = "import os; from runners.sweeping import fast_products as f; f.LIBRARY = f.Path({!r}); \
f.start_with_fast_products(); print(os.environ.get('LD_PRELOAD'))"


@pytest.mark.parametrize(
    ("name", "of_the_user", "loaded"),
    [
        ("fast.so", None, True),
        ("missing.so", None, False),
        ("fast.so", "", False),
        ("a folder/fast.so", None, False),
    ],
    ids=["made", "not made", "unwanted", "a path that the loader would split"],
)
def test_a_command_loads_it_where_it_was_made(tmp_path: Path, name: str, of_the_user: str | None, loaded: bool) -> None:
    library = tmp_path / name
    library.parent.mkdir(exist_ok=True)
    if "missing" not in name:
        shutil.copy(made(tmp_path / "environment", "vendor_id\t: AuthenticAMD\n"), library)
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    environment |= {"PYTHONPATH": str(ROOT)} | ({} if of_the_user is None else {"LD_PRELOAD": of_the_user})
    shown = subprocess.check_output([sys.executable, "-c", SHOWN.format(str(library))], env=environment, text=True)
    assert shown.strip() == (str(library) if loaded else str(of_the_user or of_the_user))
