"""Processes forked from one that has imported the project: a start costs next to nothing, and no test's state is there.

What they do is what a person types (`run`), or the part of one process of a launch (`launched`).
"""

import contextlib
import gc
import json
import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import dask
import numpy

TESTS = Path(__file__).parents[1]
IMPORTED = (
    "distributed", "peft.mapping", "transformers.models.bert.modeling_bert", "amix.models.mean_pooling",
    "amix.runs.execute", "amix.agwm.method", "amix.training.data_parallel", "runners.planning.plan",
    "runners.planning.single_run", "runners.sweeping.local_pool", "runners.sweeping.worker", "runners.cli.app",
    "helpers.warm_processes",
)  # fmt: skip
"""Modules that processes find loaded."""
FORKED_WORKERS = {"DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD": "fork"}
"""Variables with which such a process forks its workers from itself."""
SECONDS = 280
"""After which a process counts as hanging."""


@cache
def warm() -> ForkServerContext:
    """What starts processes, as multiprocessing knows it; one process per test process does the imports for all."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    found = os.pathsep.join(map(str, (TESTS.parent, TESTS)))
    with mock.patch.dict(os.environ, {"PYTHONPATH": found, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}):
        forkserver.ensure_running()
    return context


@contextlib.contextmanager
def warm_workers() -> Iterator[None]:
    """The workers of a sweep in this process are forked as well; the sweep starts and watches them as ever.

    So is the process in which it tries an encoder.
    """
    import distributed.utils

    from runners.sweeping import proof_process

    forked = SimpleNamespace(get_context=lambda _: warm())
    with (
        dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}),
        mock.patch.object(proof_process, "multiprocessing", forked),
    ):
        distributed.utils.get_mp_context()  # Names other modules to import the first time.
        warm()
        yield


def _begun(
    folder: Path, environment: Mapping[str, str], printed: Path, target: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    """Turn the copy of a process into a new one: with a session, a folder, an environment and files of its own."""
    gc.freeze()  # Garbage collections need not visit what was imported.
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    dask.config.refresh()  # It was read from the environment of the process that did the imports.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream, path, mode in ((0, os.devnull, "r"), (1, f"{printed}.out", "w"), (2, f"{printed}.err", "w")):
        with Path(path).open(mode) as file:
            os.dup2(file.fileno(), stream)
    target(*arguments)


def start(
    target: Callable[..., None], *arguments: Any, folder: Path, environment: Mapping[str, str], printed: Path
) -> ForkServerProcess:
    """Start a process of its own.

    Args:
        target: what it does; a function of a module that can be imported.
        arguments: of the target.
        folder: its working directory.
        environment: all its variables.
        printed: where its two files .out and .err go.
    """
    process = warm().Process(target=_begun, args=(folder, dict(environment), printed, target, arguments))
    process.start()
    return process


def _as_main(module: str, arguments: Sequence[str]) -> None:
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


class Ended(subprocess.CompletedProcess[str]):
    """A process that has ended, also as subprocess.Popen shows one."""

    def communicate(self) -> tuple[str, str]:
        """What it printed."""
        return self.stdout, self.stderr


@contextlib.contextmanager
def started(
    command: Sequence[str], cwd: Path, env: Mapping[str, str]
) -> Iterator[tuple[ForkServerProcess, Callable[[], Ended]]]:
    """Start a command of the form `python ... -m MODULE ...`.

    Args:
        command: the words, as subprocess takes them.
        cwd: the working directory.
        env: all its variables.

    Yields:
        The process, and what waits for its end. All of its session is gone afterwards.
    """
    place = command.index("-m")
    with tempfile.TemporaryDirectory() as name:
        printed = Path(name) / "printed"
        words = (command[place + 1], tuple(command[place + 2 :]))
        process = start(_as_main, *words, folder=cwd, environment=env, printed=printed)

        def ended() -> Ended:
            process.join(SECONDS)
            assert process.exitcode is not None, f"{command} hangs"
            out, err = (Path(f"{printed}.{kind}").read_text(encoding="utf-8") for kind in ("out", "err"))
            return Ended(command, process.exitcode, out, err)

        try:
            yield process, ended
        finally:
            if process.is_alive() and process.pid is not None:
                os.killpg(process.pid, signal.SIGKILL)
            process.join()


def run(command: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None, **_: Any) -> Ended:
    """Do such a command and return what subprocess.run returns, whose other options here are as they mostly are."""
    with started(command, cwd, os.environ if env is None else env) as (_process, ended):
        return ended()


def begun_and_ended(command: Sequence[str], cwd: Path, env: Mapping[str, str], **_: Any) -> Ended:
    """In place of subprocess.Popen: a sweep is done here with workers that are forked, a script in such a process."""
    from typer.testing import CliRunner

    from runners.cli import app

    if "-m" not in command:
        (place,) = (number for number, word in enumerate(command) if word.endswith(".py"))
        module = ".".join(Path(command[place]).with_suffix("").parts)
        return run([*command[:place], "-m", module, *command[place + 1 :]], cwd, env)
    place = command.index("runners")
    with warm_workers(), mock.patch.dict(os.environ, env):
        done = CliRunner().invoke(app.app, command[place + 1 :])
    return Ended(command, done.exit_code, done.output, f"{done.stderr} {done.exception or ''}")


AS_SUBPROCESS = SimpleNamespace(Popen=begun_and_ended, DEVNULL=subprocess.DEVNULL, PIPE=subprocess.PIPE)
"""In place of the module subprocess, for code that starts one process after the other."""


def _runs(specs: list[dict[str, Any]], encoder: str, folder: Path) -> None:
    """Execute runs as one process of a launch; the first process stores records and arrays."""
    import torch

    from amix.runs.context import RunContext
    from amix.runs.execute import execute
    from amix.specs.launch import rank
    from amix.specs.run_spec import RunSpec
    from amix.training.data_parallel import leave

    torch.set_num_threads(1)
    for number, content in enumerate(specs):
        plugins = tuple(content.pop("plugins", ()))
        record, arrays = execute(RunSpec(**content), RunContext(encoder=encoder, plugins=plugins, dev_only=True))
        if rank() == 0:
            (folder / f"{number}.json").write_text(json.dumps(record))
            numpy.savez(folder / f"{number}.npz", **arrays)  # type: ignore[arg-type]
    leave()


def launched(specs: list[dict[str, Any]], encoder: Path, folder: Path, count: int = 2) -> None:
    """Execute runs in processes that share each of them, with the variables that torchrun sets.

    Args:
        specs: the specs' fields, and `plugins` where a run needs some.
        encoder: folder of the encoder.
        folder: where the first process stores each run's record and arrays, named by the run's number.
        count: number of processes.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    interface = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}  # Whatever the host's name resolves to.
    processes = [
        start(
            _runs, specs, str(encoder), folder, folder=folder, printed=folder / f"rank-{rank}",
            environment=os.environ | shared | interface | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(count)
    ]  # fmt: skip
    for process in processes:
        process.join(SECONDS)
    ended = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert ended == [0] * count, "\n".join((folder / f"rank-{rank}.err").read_text() for rank in range(count))[-4000:]
