"""Known faults that bad inputs have to cover: kinds, and a short name for each input once seen to go wrong."""

LINES: dict[str, tuple[str, ...]] = {
    "encoder trained at random": (
        "weights renamed", "layers missing", "width of the configuration", "no tokenizer file", "weights missing",
        "weights unexpected", "weights of wrong shape", "empty vocabulary", "layers below one",
    ),
    "mistake that fails every run": (
        "clip_norm text", "weight_decay null", "betas empty", "epochs fraction", "batch_size fraction",
        "max_length infinite", "adam_epsilon negative", "lr not a number", "processes fraction", "rank negative",
        "text empty", "text is the label", "encoder without config", "encoder without weights", "weights cut off",
        "weights unsafe", "few positions", "no processes", "every run failed",
    ),
    "key twice": ("seeds", "methods", "training", "method label", "labels of a task"),
    "traceback": (
        "suite not UTF-8", "task not UTF-8", "tuned not UTF-8", "tuned is a folder", "tuned bad YAML",
        "tuned without found", "protocol a list", "protocol a text", "focus a number", "methods empty", "steps text",
        "steps infinite", "betas number", "epochs not a number", "date", "metrics empty", "comma in every row",
        "binary Parquet", "out a file", "disk full", "out read-only", "out too long", "seeds superscript",
        "seeds long digits", "set bad YAML", "training bad YAML", "processes empty", "processes text", "rank text",
        "plugin syntax", "plugin raises", "config a list", "folder named json", "dangling link",
    ),
    "plugin ends Python": ("exit at import", "exit in its loss"),
    "data that mean nothing": (
        "train is test", "one class", "column twice", "NUL", "list as text", "object as text", "JSON key twice",
        "ids and names", "steps zero", "steps negative", "lr true", "epochs true", "batch_size true",
        "weight_decay negative", "clip_norm negative", "clip_norm zero", "margin infinite", "sizes repeated",
        "splits fraction", "name of a known task",
    ),
    "words of Python": ("lr text", "plugin without its file", "GLUE a file"),
}  # fmt: skip
"""By kind. A case says `kind: name`."""


def every_line() -> set[str]:
    """All lines as cases name them."""
    return {f"{kind}: {name}" for kind, names in LINES.items() for name in names}
