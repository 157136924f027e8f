"""Offsets stored as rows move and restore parameters bit-identically to dense ones."""

import pytest
import torch
from torch import Tensor

from amix.mixup.sparse_rows import Rows, compact, kept, move, whole


def sparse(rows: int, touched: tuple[int, ...]) -> Tensor:
    offset = torch.zeros(rows, 48)
    offset[list(touched)] = torch.randn(len(touched), 48, generator=torch.Generator().manual_seed(3))
    return offset


def test_few_rows_are_stored_as_rows_and_equal_the_dense_offset() -> None:
    offset = sparse(100, (3, 17, 99))
    short = compact(offset)
    assert isinstance(short, Rows)
    assert short.index.tolist() == [3, 17, 99]
    assert torch.equal(whole(short), offset)


@pytest.mark.parametrize("offset", [torch.ones(4, 3), torch.zeros(8), sparse(4, (0, 1, 2))])
def test_dense_matrices_and_vectors_are_stored_densely(offset: Tensor) -> None:
    assert compact(offset) is offset


def test_a_matrix_of_zeros_moves_nothing() -> None:
    parameter = torch.randn(9, 48)
    before = parameter.clone()
    move({"w": parameter}, {"w": compact(torch.zeros(9, 48))}, 2.0)
    assert torch.equal(parameter, before)


@pytest.mark.parametrize("multiple", [1, -2, 0.37])
def test_rows_move_a_parameter_like_the_dense_offset(multiple: float) -> None:
    offset, start = sparse(100, (0, 40, 41)), torch.randn(100, 48)
    by_rows, by_whole = start.clone(), start.clone()
    move({"w": by_rows}, {"w": compact(offset)}, multiple)
    move({"w": by_whole}, {"w": offset}, multiple)
    assert torch.equal(by_rows, by_whole)
    assert not torch.equal(by_rows, start)


def test_parameters_are_restored_on_leaving() -> None:
    parameters = {"few": torch.nn.Parameter(torch.randn(50, 48)), "all": torch.nn.Parameter(torch.randn(7))}
    offsets = {"few": compact(sparse(50, (1, 2))), "all": torch.full((7,), 1e-3)}
    before = {name: p.detach().clone() for name, p in parameters.items()}
    storages = {name: p.data_ptr() for name, p in parameters.items()}
    with kept(parameters, offsets):
        for multiple in (1, -2):
            move(parameters, offsets, multiple)
        assert all(not torch.equal(p, before[name]) for name, p in parameters.items())
    assert all(torch.equal(p, before[name]) for name, p in parameters.items())
    assert {name: p.data_ptr() for name, p in parameters.items()} == storages
