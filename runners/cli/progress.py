"""What a sweep shows while it works: one bar with pace and expected end, the cluster's jobs, the runs in progress."""

import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from results.loading.wording import duration
from runners.planning.job import Job
from runners.sweeping.jobs import Outcome
from runners.sweeping.todo import Todo


class Remaining:
    """Remaining time of a sweep: each run is weighted by its expected seconds, and the pace is the one seen so far.

    The first run of each worker includes its start-up (imports, loading the encoder) and does not count. The estimate
    that rich's progress bars offer would not do: it takes all runs for equally long, and start-up for part of the pace.
    """

    def __init__(self, work: Todo, workers: int) -> None:
        self.expected = dict(work.expected)
        self.total = sum(self.expected.values())
        self.workers = max(workers, 1)
        self.ended, self.finished = 0, 0.0
        self.began = time.monotonic()
        self.warm: tuple[float, float, int] | None = None
        """The time when every worker had done a run, and the expected seconds and the runs finished by then."""

    def count(self, run: Job) -> None:
        """Count a run that has ended."""
        self.ended += 1
        self.finished += self.expected[run.spec.key]
        if self.ended == self.workers:
            self.warm = time.monotonic(), self.finished, self.ended

    def seconds(self) -> float:
        """Seconds left; based on the expectation alone until the workers have shown how fast they are."""
        left, now = self.total - self.finished, time.monotonic()
        if self.warm is None or self.finished == self.warm[1]:
            at_work = 0.0 if self.ended else now - self.began
            return max(0.0, left / self.workers - at_work)
        since, finished, _ = self.warm
        return left * (now - since) / (self.finished - finished)

    def per_hour(self) -> float | None:
        """Runs per hour; None until the workers have shown how fast they are."""
        if self.warm is None or self.ended == self.warm[2]:
            return None
        since, _, ended = self.warm
        return 3600 * (self.ended - ended) / max(time.monotonic() - since, 1e-9)

    def words(self) -> str:
        """The time left and, as soon as it is known, when that will be and the runs per hour."""
        left, rate = self.seconds(), self.per_hour()
        words = f"about {duration(left)} left"
        return words if rate is None else f"{words} (until {clock(left)}, {rate:,.{int(rate < 10)}f} runs per hour)"


def clock(seconds: float) -> str:
    """The time of day in this many seconds, with the date if that is not today."""
    now = datetime.now()
    end = now + timedelta(seconds=seconds)
    return f"{end:%H:%M}" if end.date() == now.date() else f"{end:%a %d %b, %H:%M}"


class SweepProgress:
    """A listener that draws on a terminal, and prints a line per finished run if there is none.

    on_seed is called, on a terminal only, when all runs of a seed have ended and others are left. Outcomes are added to
    `outcomes` by key.
    """

    def __init__(
        self,
        work: Todo,
        workers: int,
        console: Console,
        on_seed: Callable[[], None] = lambda: None,
        outcomes: dict[str, Outcome] | None = None,
    ) -> None:
        self.console, self.on_seed = console, on_seed
        self.left_of_seed = Counter(run.spec.seed for run in work.runs)
        self.remaining = Remaining(work, workers)
        self.count, self.done, self.attempts = len(work.runs), 0, 0
        self.workforce = ""
        """The cluster's jobs or workers, in words."""
        self.outcomes: dict[str, Outcome] = {} if outcomes is None else outcomes
        self.current: dict[str, tuple[Job, float]] = {}
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self.task: TaskID = self.bar.add_task("runs", total=self.count, left="")
        self.live = Live(console=console, get_renderable=self._draw, refresh_per_second=4, transient=True)

    def __enter__(self) -> "SweepProgress":
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()

    def started(self, run: Job) -> None:
        """A run was given to a worker."""
        self.attempts += 1
        self.current[run.spec.key] = (run, time.monotonic())

    def finished(self, run: Job, outcome: Outcome) -> None:
        """A run left its record; one that went wrong is always reported."""
        _, began = self.current.pop(run.spec.key, (run, time.monotonic()))
        self.remaining.count(run)
        self.outcomes[run.spec.key] = outcome
        self.done += 1
        line = f"{outcome.status} {run.name}, {duration(time.monotonic() - began)}"
        if outcome.status != "ok":
            self.console.print(Text(f"{line}: {outcome.message}".rstrip(": "), style="yellow"))
        elif not self.console.is_terminal:
            self.console.print(f"{self.done}/{self.count} {line}, {self.remaining.words()}")
        self.left_of_seed[run.spec.seed] -= 1
        if self.console.is_terminal and not self.left_of_seed[run.spec.seed] and self.done < self.count:
            self.on_seed()

    def retried(self, run: Job) -> None:
        """A run's worker died; the run waits for another one."""
        self.current.pop(run.spec.key, None)
        self.console.print(Text(f"the worker of {run.name} died; the run is tried again", style="yellow"))

    def given_back(self, run: Job) -> None:
        """The run waits for another worker, which does not count as an attempt of the run."""
        self.current.pop(run.spec.key, None)
        self.console.print(Text(f"the worker of {run.name} is gone or gets no more runs; the run waits for another"))

    def staffed(self, workforce: str) -> None:
        """Jobs or workers of the cluster have come or gone; without a terminal, each change is a line."""
        if workforce != self.workforce and not self.console.is_terminal:
            self.console.print(workforce)
        self.workforce = workforce

    def _draw(self) -> Group:
        self.bar.update(self.task, completed=self.done, left=self.remaining.words())
        now = time.monotonic()
        lines = [Text(f"  {self.workforce}")] if self.workforce else []
        lines += [Text(f"  {run.name}, {duration(now - began)}") for run, began in self.current.values()]
        return Group(self.bar.get_renderable(), *lines)
