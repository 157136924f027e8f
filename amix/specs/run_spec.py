"""RunSpec, which defines a run, and its key. Imports no torch."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from amix.specs.seed_sources import Seeds

SCHEMA = 1
OUT_OF_DOMAIN = "out_of_domain"
"""Block of a record's scores (per rule) and of its data: scores, or the majority class's, per out-of-domain set."""


@dataclass(frozen=True)
class RunSpec:
    """One finetuning run: everything that determines its scores, and nothing else (no path, host or device).

    Attributes:
        task: Name of the task.
        n_train: Number of training examples; None: the whole train split.
        seed: The seed, which pairs the run with those of other methods.
        method: Name of the method.
        encoder: An alias, a Hub id or the name of a folder.
        method_config: The method's settings.
        method_source: sha256 of the file of a method from outside the project, so that an edited one is run again;
            empty for the project's own.
        task_source: The same for the files of a task.
        training: Settings of the recipe.
        subset: How the subset is drawn.
        encoder_source: What distinguishes folders of the same name.
        seed_sources: Seeds of the sources of randomness (amix.specs.seed_sources) that differ from seed.
        schema: Version of this format.
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
        """Return the spec as plain JSON types: tuples become lists, infinity a string.

        An empty encoder_source and sources with the run's own seed are left out, so that equal runs have equal keys.
        """
        content = asdict(self)
        content["seed_sources"] = {source: seed for source, seed in self.seed_sources.items() if seed != self.seed}
        for name in ("encoder_source", "seed_sources"):
            if not content[name]:
                del content[name]
        plain: dict[str, Any] = json.loads(json.dumps(_finite(content)))
        return plain

    @property
    def seeds(self) -> Seeds:
        """The seeds of all sources of randomness; raises ValueError if a source is unknown."""
        return Seeds.of(self.seed, self.seed_sources)

    @property
    def key(self) -> str:
        """The sha256 over the canonical JSON, which is the run's name on disk."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()


def _finite(value: Any) -> Any:
    """Replace infinity, which JSON lacks, by a string that float() reads."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
