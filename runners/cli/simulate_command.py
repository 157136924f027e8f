"""The command that simulates how often the statistics of this suite err; its files are committed."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Protocol

import typer

from runners.cli.options import console

app = typer.Typer()


class Name(StrEnum):
    """The simulations, by what they examine."""

    PAIRED_TESTS = "paired-tests"
    SEQUENTIAL = "sequential"
    VARIANCE_COMPONENTS = "variance-components"
    CROSS_VALIDATION = "cross-validation"


class Simulation(Protocol):
    """What a module with a simulation provides."""

    DATA_SETS: int

    def simulate_and_write(self, folder: Path, data_sets: int, seed: int) -> list[Path]:
        """Simulate, write the files into the folder and return their paths."""


@app.command()
def simulate(
    name: Annotated[Name, typer.Argument(help="What to examine.")],
    data_sets: Annotated[
        int | None, typer.Option(min=1, help="Simulated data sets per setting (default: as in the committed file).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder to write to instead of results/tables.")] = None,
) -> None:
    """Simulate how often a test errs or an interval misses the truth, and write the rates. Needs no torch.

    paired-tests: tests between two equally good methods. sequential: testing after 6, 8 and 10 seeds.
    variance-components: intervals of what each source of randomness adds. cross-validation: the test and the
    intervals of compare.
    """
    from results.loading.layout import ROOT

    simulation = _simulation(name)
    folder = out or ROOT / "results" / "tables"
    for path in simulation.simulate_and_write(folder, data_sets or simulation.DATA_SETS, seed):
        console.print(f"written to {path}", soft_wrap=True)


def _simulation(name: Name) -> Simulation:
    from results.analysis import cross_validation_simulations, sequential_simulations, variance_simulations
    from results.stats import simulations

    by_name: dict[Name, Simulation] = {
        Name.PAIRED_TESTS: simulations,
        Name.SEQUENTIAL: sequential_simulations,
        Name.VARIANCE_COMPONENTS: variance_simulations,
        Name.CROSS_VALIDATION: cross_validation_simulations,
    }
    return by_name[name]
