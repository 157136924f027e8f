"""The commands of a sweep with --cluster, on a cluster of this machine; compare's is among its own tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from helpers.same_tables import assert_same_tables
from helpers.toy_suite import save_encoder, write_suite
from helpers.warm_processes import warm_workers
from runners.cli.app import app

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
