"""A manually started scheduler and its workers on this machine, with a certificate for the test."""

import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil

from helpers import warm_processes
from helpers.toy_suite import wait_until

ROOT = Path(__file__).parents[2]
START_SECONDS = 120.0
CLUSTER = "kind: address\naddress: {address}\ntls: {{ca_file: cert.pem, cert: cert.pem, key: key.pem}}\n"


def make_certificate(folder: Path) -> None:
    """Create a self-signed certificate and its key, as in runners/README.md."""
    names = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=amix", *names],
        check=True, capture_output=True,
    )  # fmt: skip


@dataclass
class HandStarted:
    """A scheduler and its workers, which all end with the test."""

    folder: Path
    processes: list[subprocess.Popen[bytes] | BaseProcess] = field(default_factory=list)
    """The scheduler first."""

    @property
    def scheduler_file(self) -> Path:
        return self.folder / "scheduler.json"

    @property
    def address(self) -> str:
        return str(json.loads(self.scheduler_file.read_text())["address"])

    @property
    def cluster(self) -> Path:
        """A cluster file with the scheduler's address."""
        path = self.folder / "cluster.yaml"
        path.write_text(CLUSTER.format(address=self.address))
        return path

    def start(self, module: str, *arguments: str, root: Path | None = None) -> None:
        """Start one of distributed's commands.

        Args:
            module: the command.
            arguments: its arguments.
            root: folder of the code that a new interpreter finds; None: the process is forked with the imports done.
        """
        words = [*arguments, "--tls-ca-file", "cert.pem", "--tls-cert", "cert.pem", "--tls-key", "key.pem"]
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(root or ROOT), str(ROOT / "tests")]),
            "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "3s",
            "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "False",
        }
        log = self.folder / f"{module}-{len(self.processes)}"
        if root is None:
            environment |= warm_processes.FORKED_WORKERS
            self.processes.append(
                warm_processes.start(_command, module, words, folder=self.folder, environment=environment, printed=log)
            )
            return
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *words],
                cwd=self.folder, env=environment, stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)

    def start_scheduler(self) -> None:
        self.start(
            "dask_scheduler", "--host", "127.0.0.1", "--protocol", "tls", "--port", "0", "--no-dashboard",
            "--scheduler-file", str(self.scheduler_file),
        )  # fmt: skip
        assert wait_until(self.scheduler_file.exists, START_SECONDS)

    def start_worker(self, *more: str, root: Path | None = None) -> None:
        self.start(
            "dask_worker", "--scheduler-file", str(self.scheduler_file), "--nthreads", "1", "--memory-limit", "0",
            "--host", "127.0.0.1", "--protocol", "tls", "--no-dashboard", *more, root=root,
        )  # fmt: skip

    def worker_process(self) -> psutil.Process:
        """The process of the first worker, which its nanny has started."""
        return psutil.Process(self.processes[1].pid).children()[-1]

    def stop_workers(self) -> None:
        """Kill all workers together with their nannies."""
        for process in self.processes[1:]:
            end(process)
        del self.processes[1:]


def _command(module: str, words: list[str]) -> None:
    sys.argv = [module, *words]
    runpy.run_module(f"distributed.cli.{module}", run_name="__main__", alter_sys=True)


def end(process: subprocess.Popen[bytes] | BaseProcess) -> None:
    """Kill a process and its descendants."""
    try:
        descendants = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        descendants = []
    for target in [process, *descendants]:
        try:
            os.kill(target.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait() if isinstance(process, subprocess.Popen) else process.join()


@contextmanager
def hand_started(folder: Path) -> Iterator[HandStarted]:
    make_certificate(folder)
    started = HandStarted(folder)
    try:
        started.start_scheduler()
        yield started
    finally:
        for process in started.processes[::-1]:
            end(process)
