"""Certificates that encrypt the traffic between driver and workers, and keep everybody else out."""

from pathlib import Path

import dask
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
