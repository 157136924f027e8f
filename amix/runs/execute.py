"""One run, from its spec to its record; a run that fails leaves a record as well.

An error counts as the method's failure only if it is of a kind that methods cause (FAULTS) and occurs while the method
trains or predicts. Everything else is an accident of the machine, the files or the code, which says nothing about the
method: it is not scored, and the same command runs it again.
"""

import gc
import math
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import nn

from amix.data.metrics import task_majority
from amix.data.rows import glue_folder
from amix.data.splits import Splits, load_splits
from amix.data.temperature import dev_temperature
from amix.models.loading import load_model, load_tokenizer, pretrained_weights
from amix.runs.context import RunContext
from amix.runs.environment import environment
from amix.runs.out_of_domain_scores import Prepared, prepared_sets
from amix.runs.scoring import Arrays, Record, evaluate, scored
from amix.specs.launch import processes, rank
from amix.specs.recipe import Recipe
from amix.specs.run_spec import OUT_OF_DOMAIN, SCHEMA, RunSpec
from amix.specs.store import ACCIDENT
from amix.specs.task import Task
from amix.specs.tasks import find_task
from amix.training.cost import reset_peak_memory
from amix.training.data_parallel import Drift
from amix.training.fit import Best, Diverged, Fit
from amix.training.method import Method, MethodError, whole_batches
from amix.training.micro_batches import device_full, out_of_memory
from amix.training.multi_stage import MultiStageMethod, finetune
from amix.training.padding import skip_padding
from amix.training.registry import find_method, load_external, source_hash
from amix.training.settings import make_config
from amix.training.stage_workers import remote_stages, save_stage

FAULTS = (ArithmeticError, torch.linalg.LinAlgError, numpy.linalg.LinAlgError, MethodError, Drift)
"""Errors that methods cause.

Numerical overflow, singular matrices, a task that the method does not support, weights that differ between processes.
"""
BEST_DEV = "best_dev"
"""The selection rule that uses the weights of the epoch with the best dev score."""


class ExportError(RuntimeError):
    """A run succeeded, but its model could not be saved; outcome is what execute would have returned."""

    def __init__(self, message: str, outcome: tuple[Record, Arrays]) -> None:
        super().__init__(message)
        self.outcome = outcome


class _MethodFailed(Exception):
    """Wraps an error that the method caused."""


class _DoesNotFit(Exception):
    """Training does not fit into the device's memory; half of the micro-batch is to be tried."""

    def __init__(self, half: int) -> None:
        super().__init__(half)
        self.half = half


@contextmanager
def _at_work() -> Iterator[None]:
    """Attribute errors of the kinds in FAULTS to the method, while it trains or predicts."""
    try:
        yield
    except Diverged:
        raise
    except FAULTS as error:
        raise _MethodFailed from error


def micro_batch_used(method: Method, fit: Fit) -> dict[str, int]:
    """Return what the cost block says of micro-batches, if the run had any: their size and redrawn masks."""
    size = fit.recipe.micro_batch
    if size is None or size >= fit.recipe.batch_size or not method.info.trains_by_steps:
        return {}
    return {"micro_batch": size, "redrawn_masks": fit.cost.redrawn_masks}


def execute(spec: RunSpec, context: RunContext) -> tuple[Record, Arrays]:
    """Run a spec, and save its model if the context asks for it.

    A run whose training does not fit into the device's memory is repeated with half the micro-batch, from the whole
    batch down to single examples (Recipe.micro_batch). The spec and its key stay the same; the record's cost block
    holds the micro-batch, and is that of the attempt that fitted.

    Returns:
        The record and the predictions. The record of a run that failed contains the traceback, and a status that
        blames the method (diverged, failed) or not (oom, accident).

    Raises:
        ExportError: The run succeeded, but its model cannot be saved.
    """
    started = time.perf_counter()
    half: int | None = None
    reset_peak_memory()
    record = _empty_record(spec, context)
    arrays: Arrays = {}
    finished: tuple[Method, nn.Module, Fit] | None = None
    try:
        arrays, method, model, fit = _finetune(spec, context, record)
        finished = method, model, fit
    except _DoesNotFit as error:
        half = error.half
    except Diverged as error:
        record |= {"status": "diverged", "error": _described(error)}
    except _MethodFailed as error:
        record |= {"status": "failed", "error": _described(error.__cause__ or error)}
    except (Exception, SystemExit) as error:  # A plugin that calls sys.exit would end the sweep silently.
        record |= {"status": "oom" if out_of_memory(error) else ACCIDENT, "error": _described(error)}
    finally:
        gc.collect()
    if half is not None:
        torch.cuda.empty_cache()
        return execute(spec, replace(context, micro_batch=half))
    record["cost"]["total_seconds"] = time.perf_counter() - started
    outcome = _finite(record), arrays
    if context.export and finished and rank() == 0:
        _export(spec, context, *finished, outcome)
    return outcome


def _export(
    spec: RunSpec, context: RunContext, method: Method, model: nn.Module, fit: Fit, outcome: tuple[Record, Arrays]
) -> None:
    from amix.models.export import save

    try:
        tokenizer, folder = load_tokenizer(context.encoder or spec.encoder), Path(str(context.export))
        scale, temperature = (fit.train.center, fit.train.spread), dev_temperature(outcome[1])
        save(method.export(model, fit), tokenizer, fit.task, folder, scale, fit.recipe.max_length, temperature)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        message = f"the run succeeded, but its model cannot be saved in {context.export}: {reason}"
        raise ExportError(message, outcome) from error


def accident_record(spec: RunSpec, context: RunContext, kind: str, message: str) -> Record:
    """Return the record of a run that returned nothing because its worker died, with the reason."""
    error = {"type": kind, "message": message, "traceback": ""}
    return _empty_record(spec, context) | {"status": ACCIDENT, "error": error}


def _empty_record(spec: RunSpec, context: RunContext) -> Record:
    return {
        "schema": SCHEMA,
        "key": spec.key,
        "suite": context.suite,
        "label": context.label or spec.method,
        "status": "ok",
        "error": None,
        "spec": spec.as_dict(),
        "data": {},
        "scores": {},
        "curve": [],
        "cost": {},
        "environment": environment(context.command),
    }


def _described(error: BaseException) -> dict[str, str]:
    lines = "".join(traceback.format_exception(error))
    message = " ".join([str(error)[:2000], *getattr(error, "__notes__", [])])
    return {"type": type(error).__name__, "message": message, "traceback": lines[-4000:]}


def _set_up(spec: RunSpec, context: RunContext) -> tuple[Method, Splits, Fit]:
    """Return the spec's method and data, and a Fit in its initial state."""
    for plugin in context.plugins:
        load_external(plugin)
    method_class = find_method(spec.method)
    if source_hash(method_class) != spec.method_source:
        raise MethodError(f"the file of method {spec.method} has changed since this run was planned; plan it again")
    method = method_class(make_config(method_class, spec.method_config))
    if processes() > 1 and not method.info.splits_batches:
        raise MethodError(
            f"{spec.method} needs whole batches, or draws noise for each, so processes cannot split them: "
            "run it in one process"
        )
    task = find_task(context.task_files.get(spec.task, spec.task))
    if task.regression and not method.info.regression:
        with _at_work():
            raise MethodError(f"{spec.method} is not defined for regression, and {task.title} is one")
    recipe = Recipe().with_changes(spec.training)
    if context.micro_batch is not None:
        recipe = replace(recipe, micro_batch=context.micro_batch)
    if recipe.micro_batch is not None and (reason := whole_batches(method_class, processes())):
        raise MethodError(f"micro_batch {recipe.micro_batch}: {reason}")
    if recipe.processes != processes():
        raise ValueError(
            f"this run needs {recipe.processes} process(es), not {processes()}; start it with: "
            f"torchrun --nproc-per-node {recipe.processes} -m runners run"
        )
    name, seeds = context.encoder or spec.encoder, spec.seeds
    splits = load_splits(
        task, spec.n_train, seeds.subset, load_tokenizer(name), name, recipe.max_length,
        glue_folder(context.glue) if task.origin == "glue" else None, spec.subset,
    )  # fmt: skip
    fit = Fit(
        task, recipe, seeds.method, splits.train, splits.dev, pretrained=pretrained_weights(name, task),
        best=Best(keep_state=context.selection == BEST_DEV and not context.dev_only), sources=asdict(seeds),
    )  # fmt: skip
    return method, splits, fit


def _new_model(spec: RunSpec, context: RunContext, method: Method, fit: Fit) -> nn.Module:
    """Return the untrained classifier, with its passes being counted, and padding skipped where that is possible."""
    model = load_model(context.encoder or spec.encoder, fit.task, spec.seeds.head).to(fit.device)
    fit.cost.watch(model)
    fit.skips_padding = not method.info.reads_padding and skip_padding(model, fit.train)
    return model


def _finetune(spec: RunSpec, context: RunContext, record: Record) -> tuple[Arrays, Method, nn.Module, Fit]:
    """Finetune and evaluate; fills the record block by block, so that a run that fails midway leaves what is known."""
    method, splits, fit = _set_up(spec, context)
    sets = _sets(spec, context, fit)
    record["data"] = _data_block(fit.task, splits, sets)
    model = _new_model(spec, context, method, fit)
    record["environment"]["padding"] = "skipped" if fit.skips_padding else "computed"
    if revision := getattr(model.config, "_commit_hash", None):  # Only models from the Hub have one.
        record["environment"]["encoder_revision"] = revision
    try:
        with _stages_elsewhere(method, spec, context), _at_work():
            model = finetune(method, method.prepare(model, fit), fit)
    except Exception as error:
        if half := _half(error, method, fit):
            raise _DoesNotFit(half) from error
        raise
    finally:
        record["curve"] = fit.curve
        record["cost"] = fit.cost.summary(model) | micro_batch_used(method, fit)
    with _at_work():
        arrays = evaluate(method, model, fit, scored(splits, context.dev_only), sets, record)
    record["cost"] |= fit.cost.summary(model)
    return arrays | _diagnostic_arrays(fit), method, model, fit


def _half(error: Exception, method: Method, fit: Fit) -> int | None:
    """Return half of the micro-batch with which this error filled the device; None if there is none to try."""
    if not device_full(error):
        return None
    if reason := whole_batches(type(method), processes()):
        error.add_note(f"({reason}: no micro-batch was tried)")
        return None
    used = fit.recipe.micro_batch or fit.recipe.batch_size
    return min(used, fit.recipe.batch_size, len(fit.train)) // 2 or None


@contextmanager
def _stages_elsewhere(method: Method, spec: RunSpec, context: RunContext) -> Iterator[None]:
    """Let the context's executor run the method's independent stages, if there are both."""
    if not isinstance(method, MultiStageMethod):
        yield
        return
    shared = (spec, replace(context, executor=None), torch.get_num_threads())
    with remote_stages(context.executor, method.stages(), do_stage, *shared) as method.remote_stages:
        yield


def do_stage(spec: RunSpec, context: RunContext, threads: int, number: int, path: Path) -> None:
    """Run one independent stage of a run in this process, and write its results to a file (see stage_workers).

    Args:
        spec: The run.
        context: The run's context, without an executor.
        threads: The run's own number of threads, because the order of sums depends on it.
        number: The stage, from 0.
        path: The file.
    """
    torch.set_num_threads(threads)
    reset_peak_memory()
    method, _, fit = _set_up(spec, context)
    model = method.prepare(_new_model(spec, context, method, fit), fit)
    assert isinstance(method, MultiStageMethod)
    save_stage(method.run_stage(model, fit, number), fit, path)


def _sets(spec: RunSpec, context: RunContext, fit: Fit) -> tuple[Prepared, ...]:
    """Return the out-of-domain sets that this run is scored on."""
    if context.dev_only:
        return ()
    name = context.encoder or spec.encoder
    return prepared_sets(
        fit.task, context.out_of_domain, name, fit.recipe.max_length, context.glue, context.out_of_domain_folder
    )


def _data_block(task: Task, splits: Splits, sets: tuple[Prepared, ...]) -> dict[str, Any]:
    train, dev, test = (split.labels.numpy() for split in (splits.train, splits.dev, splits.test))
    counts = {} if task.labels is None else {name: int((train == i).sum()) for i, name in enumerate(task.labels)}
    others = {item.other.name: {"n": len(item.labels), "majority": item.majority(train)} for item in sets}
    more: dict[str, Any] = {OUT_OF_DOMAIN: others} if sets else {}
    if splits.findings:
        more["findings"] = list(splits.findings)
    return more | {
        "ids_sha256": splits.ids_sha256,
        "n_train": len(train),
        "n_dev": len(splits.dev),
        "n_test": len(test),
        "n_pool": splits.pool,
        "label_counts": counts,
        "label_names": list(task.labels) if task.labels else None,
        "majority": task_majority(task, train, test),
        "majority_dev": task_majority(task, train, dev) if len(dev) else {},
        "source": splits.source,
    }


def _diagnostic_arrays(fit: Fit) -> Arrays:
    return {f"diagnostics/{name}": numpy.asarray(values) for name, values in fit.diagnostics.items()}


def _finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON lacks, by None."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
