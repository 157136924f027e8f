"""One run of a plan."""

from dataclasses import dataclass

from amix.specs.run_spec import RunSpec


@dataclass(frozen=True)
class PlannedRun:
    """One run, the row it belongs to, and its work in training examples x passes, to which seconds are proportional."""

    label: str
    spec: RunSpec
    work: float

    @property
    def name(self) -> str:
        """The run in a few words for people."""
        size = "full" if self.spec.n_train is None else str(self.spec.n_train)
        return f"{self.label} {self.spec.task} N={size} seed {self.spec.seed}"
