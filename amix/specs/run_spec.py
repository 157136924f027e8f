"""What a run is: RunSpec and the key made of it. Imports no torch."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from amix.specs.seed_sources import Seeds

SCHEMA = 1
OUT_OF_DOMAIN = "out_of_domain"
"""Block of a record's scores (by rule) and of its data: a score, or the majority's, for each out-of-domain set."""


@dataclass(frozen=True)
class RunSpec:
    """One finetuning run: everything that decides its scores, and nothing else (no path, host or device).

    n_train None means the whole train split. encoder is an alias, a Hub id or the name of a folder. method_source and
    task_source are the sha256 of the files of a method or task from outside the project, so that an edited one is run
    again; they are empty for the project's own. encoder_source tells two folders of one name apart. seed is what pairs
    the run with those of other methods; seed_sources names the sources of randomness (amix.specs.seed_sources) that
    have another one.
    """

    task: str
    n_train: int | None
    seed: int
    method: str
    encoder: str
    method_config: dict[str, Any] = field(default_factory=dict)
    method_source: str = ""
    task_source: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    subset: str = "uniform"
    encoder_source: str = ""
    seed_sources: dict[str, int] = field(default_factory=dict)
    schema: int = SCHEMA

    def as_dict(self) -> dict[str, Any]:
        """The spec as plain JSON types: tuples become lists, infinity a word, what does not apply is left out.

        An empty encoder_source and sources whose seed is the run's do not: runs that are the same have one key.
        """
        content = asdict(self)
        content["seed_sources"] = {source: seed for source, seed in self.seed_sources.items() if seed != self.seed}
        for name in ("encoder_source", "seed_sources"):
            if not content[name]:
                del content[name]
        plain: dict[str, Any] = json.loads(json.dumps(_finite(content)))
        return plain

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "RunSpec":
        """The spec that as_dict() gave; an unknown field is a TypeError."""
        return cls(**content)

    @property
    def seeds(self) -> Seeds:
        """The seed of every source of randomness; ValueError for a source that is none."""
        return Seeds.of(self.seed, self.seed_sources)

    @property
    def key(self) -> str:
        """sha256 over the canonical JSON: the run's name on disk."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()


def _finite(value: Any) -> Any:
    """JSON has no infinity; a setting that is infinite is written as a word, which float() reads."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
