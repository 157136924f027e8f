"""The commands of a sweep with --cluster, on a cluster of this machine; compare's is among its own tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from typer.testing import CliRunner

from amix.runs.context import RunContext
from amix.specs.store import Store
from helpers.fake_jobs import planned, record
from helpers.same_tables import assert_same_tables
from helpers.toy_suite import save_encoder, write_suite
from helpers.warm_processes import warm_workers
from runners.cli.app import app
from runners.sweeping.worker import Deliverer, Delivery, Worker

CLUSTER = "kind: local\noptions: {workers: 2}\n"
TUNING = "tuning: {budget: 2}\nprotocol: {split: dev}\n"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder") / "tiny-bert")


@pytest.fixture(autouse=True)
def _forked() -> Iterator[None]:
    with warm_workers():
        yield


def call(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def near_and_far(command: str, suite: Path, folder: Path, cluster: str = CLUSTER) -> tuple[Path, Path, str]:
    """The folders of a command in this process and on a cluster, and what it printed there."""
    (folder / "cluster.yaml").write_text(cluster)
    near, far = folder / "near", folder / "far"
    printed = call(command, "--suite", suite, "--out", far, "--cluster", folder / "cluster.yaml")
    call(command, "--suite", suite, "--out", near, "--workers", "0")
    return near, far, printed


def test_all_makes_the_same_tables_on_a_cluster(encoder: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, encoder, tasks="mini-cola", methods="vanilla, mixout", epochs=1)
    near, far, printed = near_and_far("all", suite, tmp_path)
    assert "workers: 2" in printed
    assert_same_tables("tiny", near, far)
    names = [sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file()) for out in (near, far)]
    assert names[0] == names[1]
    assert Path("tables/tiny/main-n24.md") in names[0]


def test_tune_chooses_the_same_settings_on_a_cluster(encoder: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, encoder, tasks="mini-cola", methods="vanilla, mixout", epochs=1)
    text = suite.read_text().replace("seeds: [1, 2]\n", "seeds: {preset: tuning, first: 1}\n")
    suite.write_text(text + TUNING)
    near, far, printed = near_and_far("tune", suite, tmp_path)
    assert "workers: 2" in printed
    settings = [out / "hyperparameters" / "tiny-bert.yaml" for out in (near, far)]
    assert settings[0].read_text() == settings[1].read_text()


def test_workers_write_the_records_themselves_into_a_shared_folder(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = write_suite(tmp_path, encoder, tasks="mini-cola", methods="vanilla, mixout", epochs=1)
    by_driver: dict[Path, int] = {}
    put = Store.put

    def counted(store: Store, *content: Any) -> Path:
        by_driver[store.folder] = by_driver.get(store.folder, 0) + 1
        return put(store, *content)

    monkeypatch.setattr(Store, "put", counted)
    near, far, printed = near_and_far("sweep", suite, tmp_path, f"{CLUSTER}store: shared\n")
    assert "Suite tiny: 4 runs: 4 ok" in printed
    assert by_driver == {near / "records" / "tiny": 4}, "what a worker wrote is not written again"
    store = Store(far / "records" / "tiny")
    assert len(list(store.keys())) == len(list(store.folder.glob("*.npz"))) == 4
    assert_same_tables("tiny", near, far)
    assert "Nothing is left to run" in call("sweep", "--suite", suite, "--out", far)


@pytest.mark.parametrize("missing", [".json", ".npz"])
def test_the_driver_writes_what_it_does_not_see_in_a_shared_folder(tmp_path: Path, missing: str) -> None:
    deliverer = Deliverer(Worker(Store(tmp_path), RunContext()), shared=True)
    of_run = record(planned(0)) | {"error": None}
    delivery = Delivery(of_run, {"logits": numpy.ones(3)})
    path = deliverer.worker.store.put(delivery.record, delivery.arrays).with_suffix(missing)
    path.unlink()
    assert deliverer.receive(delivery).status == "ok"
    assert path.exists()
    path.with_suffix(".json").write_text('{"status": "accident"}')
    deliverer.receive(delivery)
    assert (deliverer.worker.store.get(of_run["key"]) or {})["status"] == "ok", "an earlier attempt's record"  # type: ignore[arg-type]
