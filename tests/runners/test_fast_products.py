"""The library that lets MKL use an AMD processor's full instruction set: made by setup.sh, loaded by workers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runners.sweeping import local_pool

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


@pytest.mark.skipif(not shutil.which("cc") and not shutil.which("gcc"), reason="no C compiler is installed")
@pytest.mark.skipif(os.uname().sysname != "Linux" or os.uname().machine != "x86_64", reason="MKL runs on x86-64 only")
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


def test_workers_load_it_where_it_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    monkeypatch.setattr(local_pool, "FAST_PRODUCTS", tmp_path / "fast.so")
    assert local_pool.worker_variables() == local_pool.WORKER_ENVIRONMENT
    (tmp_path / "fast.so").touch()
    assert local_pool.worker_variables()["LD_PRELOAD"] == str(tmp_path / "fast.so")
    monkeypatch.setenv("LD_PRELOAD", "of-the-user.so")
    assert local_pool.worker_variables() == local_pool.WORKER_ENVIRONMENT


def test_a_path_that_the_loader_would_split_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    library = tmp_path / "a folder" / "fast.so"
    library.parent.mkdir()
    library.touch()
    monkeypatch.setattr(local_pool, "FAST_PRODUCTS", library)
    assert local_pool.worker_variables() == local_pool.WORKER_ENVIRONMENT
