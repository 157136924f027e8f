"""A run on its way to its record."""

from dataclasses import dataclass

from runners.planning.job import Job


@dataclass(frozen=True)
class Flight:
    """A run, its worker, the number of its attempt, and how many jobs or workers were given up before it was done."""

    run: Job
    place: str = ""
    attempt: int = 1
    jobs_ended: int = 0
    began: float = 0.0
    """When it was given to its worker, by the local clock."""

    @property
    def key(self) -> str:
        """Names this attempt among the scheduler's tasks."""
        return f"{self.run.spec.key}-{self.attempt}-{self.jobs_ended}"
