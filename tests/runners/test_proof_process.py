"""Trying an encoder in a process of its own: its words come back, and its end, its wait and its questions are told."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from amix.specs.encoders import Encoder, EncoderError, find_encoder
from amix.specs.tasks import find_task
from helpers import bad_proofs
from helpers.toy_suite import save_encoder
from runners.sweeping import proof_process
from runners.sweeping.proof_process import Proof, prove

PROOFS = [Proof(find_task("mini-cola"), 24, [("the cat sings",), ("a dog walks over the river",), ("it sleeps",)])]
OWN = Encoder("own", "somewhere")


def test_an_encoder_that_works_is_found_to_work_and_one_that_does_not_says_why(tmp_path: Path) -> None:
    folder = Path(save_encoder(tmp_path / "tiny"))
    prove(str(folder), PROOFS, apart=True)
    (folder / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(EncoderError, match="encoder '.*tiny'.*git-lfs|encoder '.*tiny'.*Git LFS"):
        prove(str(folder), PROOFS, apart=True)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (bad_proofs.is_killed, "encoder 'own': trying it ended the process, killed by SIGSEGV"),
        (bad_proofs.exits, "encoder 'own': trying it ended the process, with exit code 7"),
        (bad_proofs.asks, "encoder 'own': it asks a question while it is loaded; nothing answers here"),
        (bad_proofs.waits, "encoder 'own': it was still being loaded after 0 minutes"),
    ],
)
def test_what_a_faulty_encoder_does_to_the_process_is_one_line(
    fault: Callable[..., None], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof_process, "prove_encoder", fault)
    if fault is bad_proofs.waits:
        monkeypatch.setattr(proof_process, "PATIENCE", 0.1)
    with pytest.raises(EncoderError) as raised:
        prove(OWN, PROOFS, apart=True)
    assert str(raised.value) == words


@pytest.mark.parametrize(("encoder", "apart"), [(find_encoder("minilm-l2"), True), (OWN, False)])
def test_only_encoders_of_ones_own_need_a_process(
    encoder: Encoder, apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof_process, "prove_encoder", bad_proofs.tells_its_process)
    with pytest.raises(EncoderError, match=f"in process {os.getpid()}"):
        prove(encoder, PROOFS, apart)


def test_an_encoder_of_ones_own_is_tried_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_process, "prove_encoder", bad_proofs.tells_its_process)
    with pytest.raises(EncoderError, match="in process") as raised:
        prove(OWN, PROOFS, apart=True)
    assert str(os.getpid()) not in str(raised.value)
