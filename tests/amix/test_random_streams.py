"""Named random streams: stable over versions, separate, and independent of what methods draw themselves."""

import pytest
import torch

from amix import random_streams
from amix.random_streams import array_generator, derive, kept_random_state, seed_dropout, tensor_generator
from amix.specs.seed_sources import PRESETS


def test_derive_is_stable_over_versions() -> None:
    assert derive(1017, "subset") == 7204690885746595441


def test_purposes_give_different_streams() -> None:
    draws = {array_generator(1, *purpose).random() for purpose in (("order", 1), ("order", 2), ("subset",), ("head",))}
    assert len(draws) == 4


def test_a_purpose_gives_the_same_stream_again() -> None:
    first, second = (torch.rand(3, generator=tensor_generator(7, "head")) for _ in range(2))
    assert torch.equal(first, second)


def test_dropout_of_a_step_does_not_depend_on_earlier_draws() -> None:
    seed_dropout(3, "main", 5)
    expected = torch.rand(4)
    torch.rand(1000)
    seed_dropout(3, "main", 5)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("accelerator", [True, False])
def test_dropout_is_seeded_as_by_torch_manual_seed(monkeypatch: pytest.MonkeyPatch, accelerator: bool) -> None:
    torch.manual_seed(derive(3, "dropout", "main", 5))
    expected = torch.rand(4)
    monkeypatch.setattr(random_streams, "_has_accelerator", lambda: accelerator)
    seed_dropout(3, "main", 5)
    assert torch.equal(torch.rand(4), expected)


def test_kept_random_state_hides_draws_inside_it() -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    with kept_random_state():
        torch.rand(99)
    assert torch.equal(torch.rand(2), expected)


def test_presets_repeat_no_seed_and_tuning_seeds_are_in_no_other() -> None:
    assert all(len(set(seeds)) == len(seeds) >= 5 for seeds in PRESETS.values())
    reported = {seed for name, seeds in PRESETS.items() if name != "tuning" for seed in seeds}
    assert not reported & set(PRESETS["tuning"])
