"""A manually started scheduler and its workers on this machine, with a certificate for the test."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

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
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

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

    def start(self, module: str, *arguments: str, root: Path = ROOT) -> subprocess.Popen[bytes]:
        tls = ["--tls-ca-file", "cert.pem", "--tls-cert", "cert.pem", "--tls-key", "key.pem"]
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(root), str(ROOT / "tests")]),
            "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "3s",
            "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "False",
        }
        with (self.folder / f"{module}-{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *arguments, *tls],
                cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def start_scheduler(self) -> None:
        self.start(
            "dask_scheduler", "--host", "127.0.0.1", "--protocol", "tls", "--port", "0", "--no-dashboard",
            "--scheduler-file", str(self.scheduler_file),
        )  # fmt: skip
        assert wait_until(self.scheduler_file.exists, START_SECONDS)

    def start_worker(self, *more: str, root: Path = ROOT) -> None:
        self.start(
            "dask_worker", "--scheduler-file", str(self.scheduler_file), "--nthreads", "1", "--memory-limit", "0",
            "--host", "127.0.0.1", "--protocol", "tls", "--no-dashboard", *more, root=root,
        )  # fmt: skip

    def stop_workers(self) -> None:
        """Kill all workers together with their nannies."""
        for process in self.processes[1:]:
            end(process)
        del self.processes[1:]


def end(process: subprocess.Popen[bytes]) -> None:
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
    process.wait()


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
