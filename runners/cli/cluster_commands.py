"""The verbs about clusters: a try of one before a sweep."""

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
    cluster: Annotated[str, typer.Argument(help="A cluster's file (.yaml), or tls://host:port of a scheduler.")],
    suite: SuiteOption = "quick",
    glue: GlueOption = None,
    out: OutOption = None,
    out_of_domain: OutOfDomainOption = None,
) -> None:
    """Start one worker and show what it is and has; every mismatch with this machine is a line with its remedy.

    Exit code 1 says that a sweep would refuse a worker.
    """
    from amix.specs.store import Store, check_writable
    from runners.cli.sweep_steps import plan_of
    from runners.planning.cluster_file import read_cluster
    from runners.sweeping.cluster_check import checked
    from runners.sweeping.on_cluster import needs_of
    from runners.sweeping.worker import Worker

    file = read_cluster(cluster)
    plan = plan_of(suite, "", "").part
    folder = Layout(out).records
    check_writable(folder)
    needs = needs_of(Worker.of(plan, Store(folder), "", glue, out_of_domain), plan.runs, file.store == "shared")
    console.print(f"{cluster}: asking for a worker" if file.kind != "address" else f"{cluster}: looking at its workers")
    found = checked(file, needs)
    for one in found:
        _show(one, needs)
    if any(one.wrong for one in found):
        raise typer.Exit(1)


def _show(one: "Checked", needs: "Needs") -> None:
    from results.loading.wording import duration
    from runners.sweeping.survey import FOUND

    said = one.survey
    if said is not None:
        job = f", job {said.job}" if said.job else ""
        records = "can be written to there" if said.records == FOUND else said.records
        rows = {
            "worker": f"{one.place} on {said.host}{job}, there after {duration(one.seconds)}",
            "commit": said.commit or "unknown (no git there)",
            "versions": ", ".join(
                f"{name} {version}" for name, version in {"Python": said.python, **said.packages}.items()
            ),
            "device": said.device,
            "threads": f"{said.threads} for a run",
            "encoder": f"{needs.encoder}: {said.encoder}",
            "data": ", ".join(f"{task}: {state}" for task, state in said.data.items()),
            "records": f"{needs.records}: {records}{'' if needs.shared else '; the driver writes (store: driver)'}",
        }
        for name, value in rows.items():
            console.print(f"{name:9} {value}", soft_wrap=True)
    else:
        console.print(f"worker    {one.place}, there after {duration(one.seconds)}", soft_wrap=True)
    for line in one.wrong:
        console.print(f"mismatch: {line}", soft_wrap=True)
    console.print("refused" if one.wrong else "fits", soft_wrap=True)
