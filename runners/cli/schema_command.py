"""The command that prints the JSON schema of a file, so that editors can complete it and mark mistakes."""

import json
from enum import Enum
from typing import Annotated

import typer

app = typer.Typer()


class Kind(Enum):
    """The kinds of files that people write or read."""

    SUITE = "suite"
    TASK = "task"
    TUNED = "tuned"
    CLUSTER = "cluster"


@app.command()
def schema(
    kind: Annotated[
        Kind, typer.Argument(help="suite, task, tuned (settings that tune chose) or cluster.")
    ] = Kind.SUITE,
) -> None:
    """Print the JSON schema of a suite, task, cluster or tuned-settings file, for YAML editors."""
    from amix.specs.spec_model import SpecModel
    from amix.specs.task_file import TaskFile
    from runners.planning.cluster_file import ClusterFile
    from runners.planning.suite_file import SuiteFile
    from runners.planning.tuned_settings import TunedFile

    models: dict[Kind, type[SpecModel]] = {
        Kind.SUITE: SuiteFile,
        Kind.TASK: TaskFile,
        Kind.TUNED: TunedFile,
        Kind.CLUSTER: ClusterFile,
    }
    content = {"$schema": "https://json-schema.org/draft/2020-12/schema", **models[kind].model_json_schema()}
    if kind is Kind.SUITE:  # It defaults to the file's name.
        content["required"] = [name for name in content["required"] if name != "name"]
    # A value may match two forms, such as {preset: agwm}; oneOf would reject that.
    typer.echo(json.dumps(content, indent=1).replace('"oneOf"', '"anyOf"'))
