"""One run as a unit of work of a sweep."""

from dataclasses import dataclass

from amix.specs.run_spec import RunSpec


@dataclass(frozen=True)
class Job:
    """One run to do.

    Attributes:
        label: of its row.
        spec: what the run is.
        work: training examples x passes, to which its time is proportional.
    """

    label: str
    spec: RunSpec
    work: float

    @property
    def name(self) -> str:
        """A short name of the run for messages."""
        size = "full" if self.spec.n_train is None else str(self.spec.n_train)
        return f"{self.label} {self.spec.task} N={size} seed {self.spec.seed}"
