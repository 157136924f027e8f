"""One run as a sweep does it."""

from dataclasses import dataclass

from amix.specs.run_spec import RunSpec


@dataclass(frozen=True)
class Job:
    """One run to do, the row it belongs to, and its work, to which its seconds are proportional.

    work counts training examples x passes.
    """

    label: str
    spec: RunSpec
    work: float

    @property
    def name(self) -> str:
        """The run in a few words for people."""
        size = "full" if self.spec.n_train is None else str(self.spec.n_train)
        return f"{self.label} {self.spec.task} N={size} seed {self.spec.seed}"
