"""Suites with a wrong field: every field with every kind of value that it cannot have."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from helpers.bad_inputs.case import ALL, RUN, SUITE, SWEEP, BadInput, as_yaml, in_turn, on_suite, suite_with

VALUES: dict[str, Any] = {
    "null": None,
    "number": 5,
    "fraction": 1.5,
    "true": True,
    "not a number": math.nan,
    "infinite": math.inf,
    "negative": -1,
    "word": "zzz",
    "empty text": "",
    "control": "a\x1b[31m",
    "empty list": [],
    "list of lists": [[1]],
    "list of null": [None],
    "empty mapping": {},
    "mapping": {"zzz": 1},
    "long number": 10**30,
    "date": "2020-01-01",
}
"""Values by a short name."""
FINE: dict[str, str] = {
    "name": "word, date",
    "title": "word, empty text, date",
    "note": "word, empty text, date",
    "encoder": "word, date",
    "sizes": "null, number, long number, list of null",
    "seeds": "number, negative, long number",
    "protocol": "null, empty mapping",
    "training": "null, empty mapping",
    "out_of_domain": "null, empty list",
    "footnotes": "null, empty mapping",
}
"""Of these, what a suite's field can have (or what another line of this file looks at)."""
FIELDS = (
    "name",
    "title",
    "note",
    "encoder",
    "tasks",
    "sizes",
    "seeds",
    "exploratory_seeds",
    "methods",
    "protocol",
    "training",
    "subset",
    "out_of_domain",
    "hyperparameters",
    "tuning",
    "footnotes",
    "reuse",
)
COUNTS, NUMBERS = "number, long number", "number, fraction, long number"
RECIPE: dict[str, str] = {
    "lr": NUMBERS,
    "epochs": COUNTS,
    "steps": f"null, {COUNTS}",
    "batch_size": COUNTS,
    "max_length": COUNTS,
    "weight_decay": NUMBERS,
    "clip_norm": f"{NUMBERS}, infinite",
    "adam_epsilon": NUMBERS,
    "processes": COUNTS,
    "betas": "",
    "warmup_ratio": "",
    "class_weights": "empty text",
}
"""Settings of a recipe, with what each can have."""
PROTOCOL: dict[str, str] = {
    "reference": "empty text",
    "focus": "null",
    "alpha": "",
    "selection": "",
    "margin": NUMBERS,
    "split": "",
    "looks": "",
    "endpoints": "",
    "primary": "",
}
ROW: dict[str, str] = {
    "method": "null",
    "seeds": "null",
    "training": "null, empty mapping",
    "exploratory": "true",
    "exploratory_seeds": "",
    "grid": "null, empty mapping",
}
ENTRY: dict[str, str] = {
    "name": "word, date",
    "source": "",
    "recipe": "null, empty mapping",
    "layers": "null, number, long number",
    "pooling": "null",
    "seen": "null, empty mapping",
    "block_weights": NUMBERS,
    "chosen_with": "empty list",
    "revision": "null",
    "sha256": "null",
}
OWN_ENCODER = {"name": "own-encoder", "source": "enc"}
SAYS_OF_RECIPE = {"null": "None", "word": "'zzz'", "true": "True", "fraction": "1.5"}
LINE_OF: dict[tuple[str, str], str] = {
    ("clip_norm", "word"): "mistake that fails every run: clip_norm text",
    ("weight_decay", "null"): "mistake that fails every run: weight_decay null",
    ("betas", "empty list"): "mistake that fails every run: betas empty",
    ("epochs", "fraction"): "mistake that fails every run: epochs fraction",
    ("batch_size", "fraction"): "mistake that fails every run: batch_size fraction",
    ("max_length", "infinite"): "mistake that fails every run: max_length infinite",
    ("adam_epsilon", "negative"): "mistake that fails every run: adam_epsilon negative",
    ("lr", "not a number"): "mistake that fails every run: lr not a number",
    ("processes", "fraction"): "mistake that fails every run: processes fraction",
    ("steps", "word"): "traceback: steps text",
    ("steps", "infinite"): "traceback: steps infinite",
    ("betas", "number"): "traceback: betas number",
    ("epochs", "not a number"): "traceback: epochs not a number",
    ("steps", "negative"): "data that mean nothing: steps negative",
    ("lr", "true"): "data that mean nothing: lr true",
    ("epochs", "true"): "data that mean nothing: epochs true",
    ("batch_size", "true"): "data that mean nothing: batch_size true",
    ("weight_decay", "negative"): "data that mean nothing: weight_decay negative",
    ("clip_norm", "negative"): "data that mean nothing: clip_norm negative",
    ("lr", "word"): "words of Python: lr text",
    ("margin", "infinite"): "data that mean nothing: margin infinite",
    ("focus", "number"): "traceback: focus a number",
}
"""Which of the known faults a recipe's or a protocol's wrong value is."""


def wrong_values(fine: str) -> Iterator[tuple[str, Any]]:
    """Names and values of all but those that are fine."""
    allowed = {name.strip() for name in fine.split(",")}
    assert allowed - {""} <= set(VALUES), allowed - set(VALUES)
    return ((name, value) for name, value in VALUES.items() if name not in allowed)


def suite_cases() -> Iterator[BadInput]:
    """Every field of a suite, of its recipe, protocol, rows and encoder with what it cannot have."""
    for number, case in enumerate((*_fields(), *_recipe(), *_protocol(), *_rows(), *_entry(), *_others())):
        line, name, content, says = case
        yield BadInput(line, f"suite, {name}", in_turn(number), ("own", *says), {"own.yaml": content})
    yield from _layers()


Case = tuple[str, str, str, tuple[str, ...]]
"""Line, name, the suite's file, what the message says."""


def _fields() -> Iterator[Case]:
    for field in FIELDS:
        for name, value in wrong_values(FINE.get(field, "")):
            line = {
                ("protocol", "word"): "traceback: protocol a text",
                ("protocol", "empty list"): "traceback: protocol a list",
                ("methods", "empty mapping"): "traceback: methods empty",
                ("subset", "date"): "traceback: date",
            }.get((field, name), "")
            yield line, f"{field}: {name}", suite_with(**{field: value}), (field.removesuffix("s"),)


def _recipe() -> Iterator[Case]:
    for setting, fine in RECIPE.items():
        for name, value in wrong_values(fine):
            says = ("training", setting, *filter(None, [SAYS_OF_RECIPE.get(name)]))
            line = LINE_OF.get((setting, name), "")
            yield line, f"training: {setting}: {name}", suite_with(training={setting: value}), says
    for name, changes, line in (
        ("steps zero", {"steps": 0}, "data that mean nothing: steps zero"),
        ("clip_norm zero", {"clip_norm": 0}, "data that mean nothing: clip_norm zero"),
        ("unknown", {"epoch": 3}, ""),
        ("one beta", {"betas": [0.9]}, ""),
        ("three betas", {"betas": [0.9, 0.99, 0.999]}, ""),
        ("betas of text", {"betas": ["a", "b"]}, ""),
        ("beta of one", {"betas": [0.9, 1.0]}, ""),
        ("negative beta", {"betas": [-0.9, 0.9]}, ""),
        ("warm-up over one", {"warmup_ratio": 1.0}, ""),
        ("epochs zero", {"epochs": 0}, ""),
        ("lr zero", {"lr": 0}, ""),
        ("lr with a comma", {"lr": "1,5"}, ""),
        ("lr with a unit", {"lr": "1e-4 per step"}, ""),
    ):
        (setting,) = changes
        yield line, f"training: {name}", suite_with(training=changes), ("training", setting)


def _protocol() -> Iterator[Case]:
    for setting, fine in PROTOCOL.items():
        for name, value in wrong_values(fine):
            line = LINE_OF.get((setting, name), "")
            yield line, f"protocol: {setting}: {name}", suite_with(protocol={setting: value}), ("protocol", setting)


LAYERS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("lora", {"targets": ["qurey"]}, "no layer called 'qurey'; did you mean query"),
    ("lora", {"targets": ["query", "valeu"]}, "no layer called 'valeu'; did you mean value"),
    ("dora", {"targets": ["LayerNorm"]}, "no layer called 'LayerNorm'"),
    ("adalora", {"targets": ["output.dens"]}, "did you mean output.dense"),
    ("beft", {"targets": ["q_proj"]}, "no layer called 'q_proj'"),
    ("vera", {"targets": ["keys"]}, "did you mean key"),
    ("oft", {"targets": ["valu"]}, "did you mean value"),
    ("bidora", {"targets": ["valu"]}, "did you mean value"),
    ("bilora", {"targets": ["classifier"]}, "no linear layer of BertForSequenceClassification's pretrained body"),
    ("bidora_official", {"targets": ["intermediate.dense"]}, "must be square"),
    ("peft", {"targets": ["valu"]}, "did you mean value"),
    ("peft", {"options": ["target_modules=[query, valu]"]}, "target_modules: BertForSequenceClassification has no"),
    ("peft", {"options": ["target_modules=.*nowhere"]}, "does not fit: Target modules .*nowhere not found"),
    ("peft", {"options": ["exclude_modules=[quary]"]}, "exclude_modules"),
    ("peft", {"options": ["rank_pattern={quary: 4}"]}, "rank_pattern: no layer of"),
    ("peft", {"options": ["alpha_pattern={quary: 4}"]}, "alpha_pattern: no layer of"),
    ("peft", {"options": ["layers_to_transform=[0, 99]"]}, "layers_to_transform names block 99 of"),
    ("peft", {"options": ["init_lora_weights=gausian"]}, "does not fit: Unknown initialization"),
    ("peft", {"options": ["lora_alhpa=3"]}, "no option 'lora_alhpa'; did you mean lora_alpha"),
    ("peft", {"tuner": "c3a"}, "block size should be a factor"),
    ("agwm", {"modules": ["query", "nowhere"]}, "matching nowhere"),
    ("agwm", {"modules": ["que(ry"]}, "modules: "),
    ("hype", {"layer_range": [0, 99]}, "layer_range names block 99 of"),
    ("lnsr", {"layer": 99}, "layer names block 99 of"),
    ("prefix", {"tokens": 100}, "more than the encoder's"),
    ("random_mask", {"share": 1e-9}, "the head alone holds"),
    ("lm_bff", {"template": "<S1> [MASK]", "label_words": ["cat", "tree"]}, "has none that can be used"),
    ("lm_bff", {}, "no prompt was published for task toy"),
)
"""Method, settings, what the message says: what only the encoder and the task together show to be wrong."""


def _layers() -> Iterator[BadInput]:
    for number, (method, settings, says) in enumerate(LAYERS):
        content = suite_with(methods={"vanilla": None, "row": {"method": method} | settings})
        command = on_suite((SWEEP, ALL)[number % 2])
        yield BadInput("", f"layers, {method} {number}", command, ("own, methods: row", says), {"own.yaml": content})
    alone = (*RUN, "-m", "lora", "--set", "targets=[qurey]")
    yield BadInput("", "layers, of one run", alone, ("methods: lora: targets", "did you mean query"))
    compared = ("compare", "train.csv", "-e", "enc", "--max-length", "16", "--out", "out", "-w", "0", "--methods")
    yield BadInput("", "layers, of a comparison", (*compared, "vanilla,lm_bff"), ("--methods: lm_bff", "no prompt"))


TUNERS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("a tuner that is not there", {"tuner": "lorra"}, "did you mean lora"),
    ("a tuner that is not possible", {"tuner": "prefix_tuning"}, "use the method prefix"),
    ("an option without a value", {"options": ["r"]}, "key=value"),
    ("a start that is not possible", {"options": ["init_lora_weights=eva"]}, "passes over the data"),
    ("modules that are not saved", {"options": ["modules_to_save=[classifier]"]}, "only the head trains"),
    ("targets twice", {"targets": ["query"], "options": ["target_modules=[value]"]}, "give one of them"),
)


def _rows() -> Iterator[Case]:
    for name, settings, says in TUNERS:
        yield "", f"row: peft: {name}", suite_with(methods={"peft": settings}), ("methods: peft", says)
    terms = suite_with(methods={"bitfit": {"terms": ["quary"]}})
    yield "", "row: bitfit: unknown term", terms, ("methods: bitfit", "did you mean query")
    for setting, fine in ROW.items():
        for name, value in wrong_values(fine):
            content = suite_with(methods={"vanilla": {setting: value}})
            says = ("zzz",) if (setting, name) in (("method", "word"),) else ("methods",)
            yield "", f"row: {setting}: {name}", content, says
    for name, rows, says, line in (
        ("rank negative", {"lora": {"rank": -1}}, "rank", "mistake that fails every run: rank negative"),
        ("splits fraction", {"agwm": {"splits": 1.5}}, "splits", "data that mean nothing: splits fraction"),
        ("unknown method", {"vanila": None}, "did you mean vanilla", ""),
        ("unknown setting", {"mixout": {"q": 0.5}}, "has no setting 'q'", ""),
        ("nothing to set", {"vanilla": {"p": 0.5}}, "has no setting 'p'", ""),
        ("same run twice", {"vanilla": None, "again": {"method": "vanilla"}}, "have the same settings", ""),
        ("a row is a text", {"vanilla": "fast"}, "name: value", ""),
        ("a row is a list", {"vanilla": ["fast"]}, "name: value", ""),
        ("settings of all", {"all": {"p": 0.1}}, "takes none", ""),
        ("training of all", {"all": {"training": {"lr": 0.1}}}, "takes none", ""),
        ("label of blanks", {"  ": {"method": "vanilla"}}, "labels are texts", ""),
        ("label a number", {5: {"method": "vanilla"}}, "labels are texts", ""),
        ("label a truth value", {True: {"method": "vanilla"}}, "labels are texts", ""),
        ("label of two lines", {"a\nb": {"method": "vanilla"}}, "one line", ""),
        ("plugin that is not there", {"x": {"method": "gone.py:Own"}}, "gone.py:Own", ""),
        ("a folder as plugin", {"x": {"method": "enc.py:Own"}}, "enc.py:Own", ""),
    ):
        yield line, f"row: {name}", suite_with(methods=rows), (says,)


def _entry() -> Iterator[Case]:
    for setting, fine in ENTRY.items():
        for name, value in wrong_values(fine):
            content = suite_with(encoder=OWN_ENCODER | {setting: value})
            yield "", f"encoder: {setting}: {name}", content, ("encoder", setting)
    for setting in ("lr", "epochs", "betas", "max_length"):
        for name, value in wrong_values(RECIPE[setting]):
            content = suite_with(encoder=OWN_ENCODER | {"recipe": {setting: value}})
            yield "", f"encoder: recipe: {setting}: {name}", content, ("encoder", "recipe", setting)
    for missing in ("name", "source"):
        kept = {name: value for name, value in OWN_ENCODER.items() if name != missing}
        yield "", f"encoder without {missing}", suite_with(encoder=kept), (f"missing {missing}",)


OTHERS: tuple[tuple[str, str, Mapping[str, Any], str], ...] = (
    ("data that mean nothing: sizes repeated", "a size twice", {"sizes": [12, 12]}, "more than once"),
    ("", "a seed twice", {"seeds": [1, 1]}, "more than once"),
    ("", "a task twice", {"tasks": ["toy.yaml", "toy.yaml"]}, "more than once"),
    ("", "a task under two files' names", {"tasks": ["toy.yaml", "./toy.yaml"]}, "more than once"),
    ("", "a row twice", {"methods": ["vanilla", "vanilla"]}, "more than once"),
    ("", "unknown field", {"metods": ["vanilla"]}, "did you mean methods"),
    ("", "unknown task", {"tasks": ["mini-col"]}, "(a task of your own is a .yaml file: see"),
    ("", "a task file that is not there", {"tasks": ["gone.yaml"]}, "gone.yaml"),
    ("", "unknown preset", {"seeds": "agwn"}, "did you mean agwm"),
    ("", "more of a preset than it has", {"seeds": {"preset": "agwm", "first": 99}}, "first must be between"),
    ("", "none of a preset", {"seeds": {"preset": "agwm", "first": 0}}, "first must be between"),
    ("", "unknown source of randomness", {"seeds": {"subset": [1], "hed": [2], "rest": [3]}}, "hed"),
    ("", "crossed text", {"seeds": {"crossed": "zzz"}}, "seeds"),
    ("", "crossed nothing", {"seeds": {"crossed": {}}}, "seeds"),
    ("", "sources of other lengths", {"seeds": {"subset": [1, 2], "rest": [3, 4, 5]}}, "seeds"),
    ("", "seeds kept for tuning", {"seeds": [70001]}, "kept for tuning"),
    ("", "reference that is no row", {"protocol": {"reference": "vanila"}}, "did you mean vanilla"),
    ("", "focus that is no row", {"protocol": {"focus": "agwm"}}, "is not a row"),
    ("", "primary pair with a row that is not there", {"protocol": {"primary": [["vanilla", "agwm"]]}}, "is not a row"),
    ("", "falling looks", {"seeds": [1, 2, 3], "protocol": {"looks": [3, 2]}}, "rising"),
    ("", "size of a task that is not there", {"sizes": [{"toy": 12, "toys": 12}]}, "did you mean toy"),
    ("", "sizes without the task", {"sizes": [{}]}, "missing toy"),
    ("", "a size of text", {"sizes": ["twelve"]}, "full"),
    ("", "a size of zero", {"sizes": [0]}, "at least 1"),
    ("", "footnote of another task", {"footnotes": {"toys": "x"}}, "did you mean toy"),
    ("", "set of another task", {"out_of_domain": ["snli"]}, "no task of this suite"),
    ("", "tuning with test scores", {"tuning": {"budget": 2}, "seeds": [70001]}, "dev"),
    ("", "tuning with other seeds", {"tuning": {"budget": 2}, "protocol": {"split": "dev"}}, "tuning"),
    ("", "tuned file that is not there", {"hyperparameters": "gone.yaml"}, "gone.yaml"),
    ("", "class weights of a number", {"tasks": ["mini-stsb"], "training": {"class_weights": "balanced"}}, "classes"),
    ("", "encoder and its description", {"encoder": [OWN_ENCODER]}, "encoder"),
    ("", "control in a footnote", {"footnotes": {"toy": "\x1b]0;x"}}, "control characters"),
    ("", "other suite with blanks", {"reuse": [" "]}, "reuse"),
)


def _others() -> Iterator[Case]:
    for line, name, changes, says in OTHERS:
        yield line, name, suite_with(**changes), (says,)
    for missing in ("encoder", "tasks", "seeds", "methods"):
        kept = {name: value for name, value in SUITE.items() if name != missing}
        yield "", f"without {missing}", as_yaml(kept), (f"missing {missing}",)
