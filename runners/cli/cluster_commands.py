"""The commands for clusters: try one before a sweep."""

from typing import TYPE_CHECKING, Annotated

import typer

from results.loading.layout import Layout
from runners.cli.options import GlueOption, OutOfDomainOption, OutOption, SuiteOption, console

if TYPE_CHECKING:
    from runners.sweeping.cluster_check import Checked
    from runners.sweeping.survey import Needs

app = typer.Typer(help="Try a cluster before a sweep.", no_args_is_help=True)


@app.callback()
def cluster() -> None:
    """Try a cluster before a sweep."""


@app.command()
def check(
    cluster: Annotated[str, typer.Argument(help="A cluster file (.yaml), or tls://host:port of a scheduler.")],
    suite: SuiteOption = "quick",
    glue: GlueOption = None,
    out: OutOption = None,
    out_of_domain: OutOfDomainOption = None,
) -> None:
    """Start one worker and show what it is and has; every mismatch with this machine is reported with its remedy.

    Exits with code 1 if a sweep would refuse the worker.
    """
    from amix.specs.store import Store, check_writable
    from runners.cli.sweep_steps import plan_of
    from runners.planning.cluster_file import read_cluster
    from runners.sweeping.cluster_check import checked
    from runners.sweeping.on_cluster import needs_of
    from runners.sweeping.shipping import packed
    from runners.sweeping.worker import Worker

    file = read_cluster(cluster)
    plan = plan_of(suite, "", "").part
    folder = Layout(out).records
    check_writable(folder)
    needs = needs_of(Worker.of(plan, Store(folder), "", glue, out_of_domain), plan.runs, file.store == "shared")
    console.print(f"{cluster}: asking for a worker" if file.kind != "address" else f"{cluster}: looking at its workers")
    with packed(file, needs, lambda words: console.print(words, soft_wrap=True)) as shipment:
        workers = checked(file, shipment.needs, shipment.archives)
    for worker in workers:
        _show(worker, needs)
    if any(worker.wrong for worker in workers):
        raise typer.Exit(1)


def _show(worker: "Checked", needs: "Needs") -> None:
    from results.loading.wording import duration
    from runners.sweeping.survey import FOUND

    survey = worker.survey
    if survey is not None:
        job = f", job {survey.job}" if survey.job else ""
        records = "can be written to there" if survey.records == FOUND else survey.records
        rows = {
            "worker": f"{worker.place} on {survey.host}{job}, ready after {duration(worker.seconds)}",
            "commit": survey.commit or "unknown (no git there)",
            "versions": ", ".join(
                f"{name} {version}" for name, version in {"Python": survey.python, **survey.packages}.items()
            ),
            "device": survey.device,
            "threads": f"{survey.threads} per run",
            "encoder": f"{needs.encoder}: {survey.encoder}",
            "data": ", ".join(f"{task}: {state}" for task, state in survey.data.items()),
            "records": f"{needs.records}: {records}{'' if needs.shared else '; the driver writes (store: driver)'}",
        }
        for name, value in rows.items():
            console.print(f"{name:9} {value}", soft_wrap=True)
    else:
        console.print(f"worker    {worker.place}, ready after {duration(worker.seconds)}", soft_wrap=True)
    for line in worker.wrong:
        console.print(f"mismatch: {line}", soft_wrap=True)
    console.print("refused" if worker.wrong else "fits", soft_wrap=True)
