"""Cluster files: what is accepted, and the one line that says what is wrong; the certificates of their jobs."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from runners.cli.app import app
from runners.planning.cluster_file import ClusterError, ClusterFile, read_cluster, seconds_of
from runners.sweeping import job_queue
from runners.sweeping.protection import certificate_folder, protection
from runners.sweeping.survey import ROOT

SLURM = """
kind: slurm
jobs: 8
options: {cores: 1, memory: 16GB, walltime: "04:00:00", queue: gpu, job_extra_directives: ["--gres=gpu:1"]}
"""
ADDRESS = "kind: address\naddress: tls://node7:8786\n"


def cluster_of(folder: Path, text: str) -> ClusterFile:
    path = folder / "cluster.yaml"
    path.write_text(text)
    return read_cluster(str(path))


def test_a_single_number_of_jobs_is_the_maximum_and_the_walltime_gives_the_lifetime(tmp_path: Path) -> None:
    cluster = cluster_of(tmp_path, SLURM)
    assert cluster.jobs is not None
    assert (cluster.jobs.minimum, cluster.jobs.maximum, cluster.most_runs) == (0, 8, 8)
    assert cluster.lifetime_seconds == 4 * 3600 - 120
    assert cluster_of(tmp_path, SLURM + "lifetime: 90m").lifetime_seconds == 5400


def test_runs_at_a_time_are_jobs_times_workers_per_job(tmp_path: Path) -> None:
    text = SLURM.replace("jobs: 8", "jobs: {minimum: 1, maximum: 3}").replace("cores: 1", "cores: 4, processes: 4")
    assert cluster_of(tmp_path, text).most_runs == 12


@pytest.mark.parametrize(
    ("text", "seconds", "lsf"),
    [
        ("90m", 5400, 5400), ("1.5 h", 5400, 5400), ("01:30:00", 5400, 5400), ("1-00:00:00", 86400, 86400),
        ("30:00", 1800, 108000), ("soon", None, None), ("90", None, None),
    ],
)  # fmt: skip
def test_times_are_read_in_the_notations_of_batch_systems(text: str, seconds: float | None, lsf: float | None) -> None:
    assert seconds_of(text) == seconds
    assert seconds_of(text, minutes_first=True) == lsf


WRONG = {
    "no mapping": ("- slurm", "a cluster file holds fields such as 'kind: slurm'"),
    "nothing": ("", "a cluster file holds fields"),
    "kind": (SLURM.replace("slurm", "slrum"), "kind: unknown 'slrum'; did you mean slurm?"),
    "no kind": ("jobs: 8", "missing kind"),
    "field": (SLURM + "job: 8", "unknown field 'job'; did you mean jobs"),
    "option": (SLURM.replace("queue", "quene"), "options: unknown field 'quene'; did you mean queue?"),
    "runs per GPU": ("kind: local\noptions: {runs_per_gpu: autoo}", "unknown 'autoo'; did you mean auto?"),
    "no runs per GPU": ("kind: local\noptions: {runs_per_gpu: 0}", "runs_per_gpu: at least 1 is needed, found 0"),
    "workers too": ("kind: local\noptions: {runs_per_gpu: 2, workers: 2}", "leave out one of the two"),
    "option of another kind": (SLURM.replace("queue: gpu", "ncpus: 1"), "options: unknown field 'ncpus'; "),
    "walltime as a number": (SLURM.replace('"04:00:00"', "12:00:00"), "options: walltime: a text is needed"),
    "walltime in minutes": (SLURM.replace("04:00:00", "240"), "it cannot be derived from the walltime '240'"),
    "no walltime": (SLURM.replace('walltime: "04:00:00", ', ""), "options: missing walltime"),
    "jobs as a text": (SLURM.replace("jobs: 8", "jobs: many"), "jobs: expected 'name: value' pairs, found 'many'"),
    "jobs none": (SLURM.replace("jobs: 8", "jobs: 0"), "jobs: maximum: at least 1 is needed, found 0"),
    "jobs missing": (SLURM.replace("jobs: 8", ""), "missing jobs: how many jobs slurm may run"),
    "bounds": (SLURM.replace("jobs: 8", "jobs: {minimum: 4, maximum: 2}"), "minimum: 4 is more than the maximum, 2"),
    "jobs of an address": (ADDRESS + "jobs: 2", "jobs: kind address has none"),
    "no address": ("kind: address", "address: tls://host:port is needed, found ''"),
    "no port": ("kind: address\naddress: tls://node7", "address: tls://host:port is needed, found 'tls://node7'"),
    "unprotected": (ADDRESS.replace("tls", "tcp"), "tcp://node7:8786 is unprotected, so anyone who can reach the port"),
    "protocol": (ADDRESS.replace("tls", "ssl"), "unknown protocol 'ssl'; known: tls, tcp"),
    "address of another kind": (SLURM + "address: tls://a:1", "address: kind slurm starts its own scheduler"),
    "lifetime": (SLURM + "lifetime: soon", "lifetime: a time such as 3h, 90m or 03:30:00 is needed, found 'soon'"),
    "store": (SLURM + "store: both", "store: unknown 'both'; known: driver, shared"),
    "insecure as a text": (SLURM + "insecure: 'no'", "insecure: true or false is needed, found 'no'"),
    "certificates": (ADDRESS + "tls: {ca_file: ca.pem, cert: c.pem, key: k.pem}", "tls: ca_file: there is no file "),
    "certificates half": (ADDRESS + "tls: {ca_file: ca.pem}", "tls: missing cert, key"),
    "certificates unused": (ADDRESS + "insecure: true\ntls: {ca_file: a, cert: c, key: k}", "keep one"),
    "ship at home": ("kind: local\nship: true", "ship: workers of kind local read the driver's own files; leave"),
    "ship as a text": (SLURM + "ship: encoder", "ship: true or false is needed, found 'encoder'"),
    "twice": (SLURM + "jobs: 4", "'jobs' appears twice"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_line_with_file_field_and_remedy(case: str, tmp_path: Path) -> None:
    text, expected = WRONG[case]
    with pytest.raises(ClusterError) as caught:
        cluster_of(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "cluster.yaml"))
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere.yaml", "nowhere.yaml: cannot be read (No such file or directory)"),
        ("slurm", "--cluster slurm: a .yaml file or an address tls://host:port is needed"),
        ("tcp://node7:8786", "is unprotected"),
    ],
)
def test_a_wrong_option_says_what_is_wrong(given: str, message: str) -> None:
    with pytest.raises(ClusterError, match=message.replace("(", r"\(").replace(")", r"\)")):
        read_cluster(given)


def test_unprotected_traffic_is_possible_on_request(tmp_path: Path) -> None:
    assert cluster_of(tmp_path, ADDRESS.replace("tls", "tcp") + "insecure: true").insecure


def test_the_schema_has_every_field_and_option() -> None:
    schema = json.loads(CliRunner().invoke(app, ["schema", "cluster"]).output)
    assert {"kind", "jobs", "options", "lifetime", "store", "ship", "tls", "insecure"} <= set(schema["properties"])
    assert {"cores", "walltime", "resource_spec", "workers"} <= set(schema["properties"]["options"]["properties"])


KILLED = """
import sys, time
from pathlib import Path
from runners.sweeping.protection import certificate_folder

with certificate_folder(Path(sys.argv[1])) as folder:
    (folder / "key").write_text("secret")
    print(folder.name, flush=True)
    time.sleep(600)
"""


def test_the_certificate_of_a_killed_driver_is_removed_by_the_next_one_and_no_other(tmp_path: Path) -> None:
    drivers = [
        subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(2)
    ]
    try:
        killed, living = (driver.stdout.readline().strip() for driver in drivers if driver.stdout)
        drivers[0].kill()
        drivers[0].wait()
        assert (tmp_path / killed / "key").exists()
        far = killed.replace(socket.gethostname(), "elsewhere.example.org")
        others = [far, f"{far}.old", "driver.log", "slurm-12.err", f"driver.{socket.gethostname()}.none.x"]
        for name in others:
            (tmp_path / name).mkdir()
        with certificate_folder(tmp_path) as folder:
            assert {path.name for path in tmp_path.iterdir()} == {living, folder.name, *others}
            assert folder.stat().st_mode & 0o077 == 0
        assert {path.name for path in tmp_path.iterdir()} == {living, *others}
    finally:
        for driver in drivers:
            driver.kill()
            driver.communicate()


@pytest.mark.parametrize("given", [None, "$AMIX_TEST_FOLDER/mine"], ids=["default", "own folder"])
def test_jobs_find_the_temporary_certificate_in_the_drivers_folder_while_it_runs(
    given: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dask_jobqueue")
    pytest.importorskip("cryptography")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("AMIX_TEST_FOLDER", str(tmp_path / "shared"))
    parent = tmp_path / "amix" / "jobs" if given is None else tmp_path / "shared" / "mine"
    parent.mkdir(parents=True)
    options = {"cores": 1, "memory": "1GB", "walltime": "01:00:00", "interface": "lo"}
    file = ClusterFile.model_validate(
        {"kind": "slurm", "jobs": 1, "options": options | ({"shared_temp_directory": given} if given else {})}
    )
    with job_queue.queue_of(file, protection(file)) as queue:
        (folder,) = parent.iterdir()
        assert len(list(folder.iterdir())) == 3, "the certificates and the key"
        named = re.findall(r"--tls-key (\S+)", queue.cluster.job_script())
        assert [os.path.expandvars(name) for name in named] == [str(next(folder.glob("*.key.*")))]
        assert named[0].startswith(given or str(parent)), "jobs expand the variables themselves"
    assert list(parent.iterdir()) == []


@pytest.mark.parametrize("kind", ["slurm", "pbs", "local"])
def test_the_examples_for_people_are_valid_and_every_option_of_a_batch_system_is_explained(
    tmp_path: Path, kind: str
) -> None:
    examples = re.findall(r"```yaml\n(kind: .*?)```", (ROOT / "runners" / "README.md").read_text(), re.DOTALL)
    chosen = [example for example in examples if example.startswith(f"kind: {kind}")]
    assert chosen
    for example in chosen:
        cluster = cluster_of(tmp_path, example)
        options = example.partition("options:\n")[2].splitlines()
        assert [line for line in options if " # " not in line] == []
        assert "interface" in cluster.options or kind == "local"
