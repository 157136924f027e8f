"""Certificates that encrypt the traffic between driver and workers, and keep everybody else out."""

import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
import psutil
from distributed import Security

from runners.planning.cluster_file import ClusterError, ClusterFile


def protection(cluster: ClusterFile) -> Security | None:
    """The certificates of this cluster; None if its file allows unprotected traffic.

    Raises:
        ClusterError: there are none, and none can be made; one line with what to do.
    """
    if cluster.insecure:
        return None
    if cluster.tls is not None:
        cert, key = cluster.tls.cert, cluster.tls.key
        return Security(
            require_encryption=True, tls_ca_file=cluster.tls.ca_file,
            tls_client_cert=cert, tls_client_key=key, tls_worker_cert=cert, tls_worker_key=key,
            tls_scheduler_cert=cert, tls_scheduler_key=key,
        )  # fmt: skip
    if cluster.kind == "address":
        return _configured(cluster.address)
    try:
        return Security.temporary()
    except ImportError as error:
        raise ClusterError(
            "the package cryptography, which makes a certificate for this sweep, is not installed: "
            "pip install cryptography, or give your own certificates (tls:), or set 'insecure: true'"
        ) from error


def _configured(address: str) -> Security:
    """The certificates that dask's own configuration names."""
    names = ("ca-file", "client.cert")
    files = [dask.config.get(f"distributed.comm.tls.{name}", None) for name in names]
    if None in files:
        raise ClusterError(
            f"{address}: there is no certificate for it: use a cluster file with 'tls: {{ca_file:, cert:, key:}}', "
            "or dask's configuration (distributed.comm.tls)"
        )
    for file in files:
        if not Path(file).is_file():
            raise ClusterError(
                f"{address}: dask's configuration (distributed.comm.tls) names {file}, which does not exist"
            )
    return Security(require_encryption=True)


_OWNED = re.compile(r"driver\.(?P<host>.+)\.(?P<pid>\d+)\.[^.]+")
"""Names of folders of temporary certificates: host and process of the driver, and something random."""


@contextmanager
def certificate_folder(parent: Path) -> Iterator[Path]:
    """A new folder for the temporary certificate of this driver, which jobs read; removed at the end.

    A driver that is killed leaves its folder behind, which the next one on the same host removes.

    Raises:
        OSError: it cannot be made.
    """
    _remove_orphans(parent)
    folder = Path(tempfile.mkdtemp(prefix=f"driver.{socket.gethostname()}.{os.getpid()}.", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_orphans(parent: Path) -> None:
    """Remove the folders of drivers on this host that no longer live; of other hosts that is unknown."""
    for folder in parent.iterdir():
        owner = _OWNED.fullmatch(folder.name)
        if owner and owner["host"] == socket.gethostname() and not psutil.pid_exists(int(owner["pid"])):
            shutil.rmtree(folder, ignore_errors=True)
