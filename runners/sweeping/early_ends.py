"""Jobs that end before their workers arrive: the batch system reports none, so each job leaves a note itself."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SUFFIX = ".ended"
STATE_SECONDS = 20
"""After which Slurm is taken to know nothing of a job."""
JOB_ID = "${SLURM_JOB_ID:-${PBS_JOBID:-${LSB_JOBID:-$JOB_ID}}}"


def note_at_end(folder: str) -> str:
    """The line of a job script that leaves the script's exit code in this folder when it ends, under the job's id."""
    return f"trap '{{ echo $? > {folder}/{JOB_ID}{SUFFIX}; }} 2>/dev/null' EXIT"


def exit_codes(folder: Path) -> dict[str, str]:
    """The exit codes of the jobs that have ended, by the jobs' numbers: PBS appends the name of its server."""
    return {path.name.partition(".")[0]: path.read_text().strip() for path in folder.glob(f"*{SUFFIX}")}


def ended(folder: Path, jobs: Mapping[str, Any]) -> dict[str, str]:
    """The jobs of a dask-jobqueue cluster that have ended by themselves, by name, each with its id and exit code."""
    codes = exit_codes(folder)
    return {
        name: f"job {job.job_id} ended with exit code {codes[job.job_id]}"
        for name, job in jobs.items()
        if job.job_id in codes
    }


def goes_on(folder: Path, job_id: str) -> bool:
    """Whether a job of Slurm that has left a note has not ended, as far as Slurm knows: it may have been requeued.

    The note of one that waits in the queue again is removed.
    """
    command = ["squeue", "--noheader", "--format", "%T", "--jobs", job_id]
    try:
        state = subprocess.run(command, capture_output=True, text=True, timeout=STATE_SECONDS).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return False
    if state == "PENDING":
        (folder / f"{job_id}{SUFFIX}").unlink(missing_ok=True)
    return bool(state)
