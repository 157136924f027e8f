"""What the READMEs show works as written: the baseline, a user's own task, the commands, the tables."""

import ast
import os
import re
import sys
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from helpers.toy_suite import save_encoder, write_suite
from helpers.warm_processes import run
from results.analysis.cells import differences
from results.analysis.claims import claims
from results.loading.frame import load
from results.loading.layout import ROOT, Layout
from results.tabulating.methods import NAME
from results.tabulating.published import published_table
from results.tabulating.readme import README, marked, markers, part, put, readme_files

TEXT = README.read_text()


def code_block(language: str, containing: str) -> str:
    """The fenced block of the README that contains these words."""
    blocks = re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)
    return next(block for block in blocks if containing in block)


def runners(folder: Path, *arguments: str) -> str:
    """What a command prints that is done by a process which is forked with the imports done."""
    done = run([sys.executable, "-m", "runners", *arguments], cwd=folder, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}


def test_the_baseline_of_the_readme_runs_and_appears_in_every_output(tmp_path: Path) -> None:
    (tmp_path / "ball.py").write_text(code_block("python", "class Ball"))
    suite = write_suite(tmp_path, save_encoder(tmp_path / "encoder"), tasks="mini-cola", methods="vanilla")
    chosen = ("--suite", str(suite), "--out", "out", "--methods", "vanilla,ball.py:Ball")
    assert "ball" in runners(tmp_path, "plan", *chosen)
    runners(tmp_path, "all", *chosen, "--workers", "0")
    assert "ball" in (tmp_path / "out/tables/tiny/main-n24.md").read_text()
    assert "ball" in (tmp_path / "out/figures/tiny/strips-n24.svg").read_text()
    assert "ball" in (tmp_path / "out/report-tiny.html").read_text()
    assert "ball" in runners(tmp_path, "methods", "--methods", "ball.py:Ball")


def test_the_baseline_of_the_readme_is_about_twenty_lines() -> None:
    (ball,) = (one for one in ast.parse(code_block("python", "class Ball")).body if isinstance(one, ast.ClassDef))
    lines = ast.unparse(ball).splitlines()
    assert 10 < len([line for line in lines if line.strip()]) <= 22


def test_the_mixup_works_in_the_training_loop_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_encoder(tmp_path / "encoder")
    ids = torch.randint(5, 99, (2, 4, 6), generator=torch.Generator().manual_seed(0))
    batches = [tuple({"input_ids": one, "labels": torch.tensor([0, 1, 1, 0])} for one in ids)] * 3
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"batches": batches}
    exec(code_block("python", "WeightMixup(model)").replace("bert-base-cased", str(folder)), names)
    plain = AutoModelForSequenceClassification.from_pretrained("finetuned").eval()
    logits = [model.eval()(**batches[0][0]).logits for model in (plain, names["model"])]
    assert torch.allclose(*logits, rtol=0, atol=1e-6)
    assert any(not torch.equal(mixed.task, mixed.pretrained) for mixed in names["mixup"].mixed)


def test_a_users_task_works_as_the_readme_describes(tmp_path: Path) -> None:
    (tmp_path / "my-task.yaml").write_text(code_block("yaml", "# my-task.yaml"))
    encoder = save_encoder(tmp_path / "encoder")
    words = code_block("yaml", "# my-suite.yaml").replace("minilm-l6", str(encoder))
    words = words.replace("[200]", "[24]").replace("first: 6", "first: 1")
    words = words.replace("[vanilla, mixout, agwm]", "[vanilla, mixout]")
    (tmp_path / "my-suite.yaml").write_text(words + "\ntraining: {steps: 2, max_length: 24}")
    for name in ("train", "test"):
        rows = [(f"message {number}", ("praise", "complaint")[number % 2]) for number in range(40)]
        pandas.DataFrame(rows, columns=["message", "label"]).to_csv(tmp_path / f"{name}.csv", index=False)
    runners(tmp_path, "all", "--suite", "my-suite.yaml", "--out", "out", "--workers", "0")
    assert "complaints" in (tmp_path / "out/tables/my-suite/main-n24.md").read_text()
    (export,) = re.findall(r"python -m runners (export .*?) +#", TEXT)
    chosen = export.replace("agwm", "mixout").split()
    runners(tmp_path, *chosen, "--out", "out")
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_the_two_commands_come_first_and_call_scripts_that_exist() -> None:
    block = re.findall(r"```bash\n(.*?)```", TEXT, flags=re.DOTALL)[0]
    scripts = re.findall(r"^bash (\S+)", block, flags=re.MULTILINE)
    assert scripts == ["runners/all.sh", "tests/run.sh"]
    assert all((ROOT / script).is_file() for script in scripts)


GENERATED = [(readme, name) for readme in readme_files() for name in marked(readme) if name != NAME]


@pytest.mark.parametrize(("readme", "name"), GENERATED, ids=[f"{path.parent.name}-{name}" for path, name in GENERATED])
def test_generated_parts_are_made_from_the_committed_records(readme: Path, name: str) -> None:
    opening, closing = markers(name)
    shown = readme.read_text(encoding="utf-8").partition(opening)[2].partition(closing)[0]
    assert shown.strip() == part(name, Layout(), readme.parent).strip(), "python -m runners publish"


def test_only_the_named_part_is_replaced(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- s -->\nold\n<!-- /s -->\nafter\n")
    assert marked(readme) == ["s"]
    assert put(readme, "s", "new")
    assert readme.read_text() == "before\n<!-- s -->\n\nnew\n\n<!-- /s -->\nafter\n"
    assert not put(readme, "s", "new")


def test_the_first_readme_is_two_pages() -> None:
    assert len(README.read_bytes()) <= 10_240


def test_links_in_the_readmes_lead_to_existing_files() -> None:
    for readme in [*readme_files(), ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", readme.read_text(encoding="utf-8")):
            assert "://" in target or (readme.parent / target).exists(), f"{readme}: {target}"


@pytest.mark.skipif(not Layout().archive("lowres-cpu").exists(), reason="no committed records of lowres-cpu")
def test_the_answer_in_the_readme_agrees_with_the_records() -> None:
    results = load("lowres-cpu", Layout())
    (size,) = results.plan.sizes
    found = claims(results, size, "vanilla")
    agwm, against_stages = found["agwm"], claims(results, size, "two_stage")["agwm"]
    stsb = {label: differences(results, size, "stsb", label, "vanilla").mean() for label in ("agwm", "two_stage")}
    passes = results.runs.groupby("label")["passes"].sum()
    passes /= passes["vanilla"]
    for words in (
        rf"gains {agwm.difference:.1f} points .*?interval {shown(agwm.low)} to {agwm.high:.1f}\), at "
        rf"{passes['agwm']:.1f} times the passes",
        rf"\(p = {agwm.p_holm:.2f}\)",
        rf"STS-B \(\+{stsb['agwm']:.1f}\), .*? Two stages .*? gain {stsb['two_stage']:.1f} points on STS-B at "
        rf"{passes['two_stage']:.1f} times",
        rf"AGWM is {against_stages.difference:.1f} points ahead of them\s+\({shown(against_stages.low)} to "
        rf"{against_stages.high:.1f}; within",
    ):
        assert re.search(words, TEXT, flags=re.DOTALL), words
    significant = {label: claim for label, claim in found.items() if claim.p_holm <= results.plan.protocol.alpha}
    assert set(significant) == {"lora", "frozen_logistic"}
    assert all(claim.difference < 0 for claim in significant.values())
    assert all(claim.exact for claim in found.values()), "a p next to 0.05 must not depend on drawn patterns"
    assert {f"{found[label].p_holm:.4f}" for label in ("childtuning_f", "childtuning_d")} == {"0.0504"}
    assert "the Child-Tunings just not (p = 0.0504)" in TEXT


def shown(value: float) -> str:
    """A number with one digit and a true minus sign."""
    return f"{value:.1f}".replace("-", "−")


def test_the_log_loss_in_the_readme_is_that_of_the_table() -> None:
    tables = (ROOT / "results" / "tables" / "lowres-cpu" / "tables.md").read_text(encoding="utf-8").split("\n### ")
    (table,) = (table for table in tables if "how far probabilities can be trusted" in table.partition("\n")[0])
    names, agwm = (
        next(line for line in table.splitlines() if line.startswith(f"| {first} |")).split("|")
        for first in ("Method", "agwm")
    )
    column = next(place for place, name in enumerate(names) if "Log-loss − vanilla Difference" in name)
    difference = re.sub("<.*", "", agwm[column]).strip()
    assert "<sup>" in agwm[column], "the README calls it worse"
    assert f"(log-loss {float(difference):+.2f})" in TEXT


def test_what_is_said_of_setfit_agrees_with_the_records() -> None:
    results = load("setfit-published", Layout())
    text = " ".join((ROOT / "results" / "README.md").read_text(encoding="utf-8").split())
    claim = claims(results, results.plan.sizes[0], "vanilla")["setfit"]
    compared = published_table(results)
    assert compared is not None
    for _, _, _, ours, theirs, gap, low, high, p, verdict, *_ in compared.rows:
        assert (
            f"{ours.value:.2f} ± {ours.spread:.2f} against {theirs.value:.2f} ± {theirs.spread:.2f}, a gap of "
            f"{shown(gap.value)} ({shown(low.value)} to {shown(high.value)})"
        ) in text
        assert verdict.value != "reproduced" or f"(p = {p.value:.4f})" in text
    assert f"{claim.difference:.1f} points above plain finetuning ({claim.low:.1f} to {claim.high:.1f})" in text


def test_what_is_said_of_parameter_efficient_methods_agrees_with_the_records() -> None:
    results = load("adapters", Layout())
    text = " ".join((ROOT / "results" / "README.md").read_text(encoding="utf-8").split())
    (size,) = results.plan.sizes
    found = claims(results, size, "vanilla")
    for label, claim in found.items():
        numbers = f"{shown(claim.difference)} | {shown(claim.low)} to {shown(claim.high)} | {claim.p_holm:.2f}"
        assert f"| {label} | {numbers} |" in text
        assert claim.p_holm > results.plan.protocol.alpha
    assert "four intervals alone lie wholly below zero" in text
    assert sum(claim.high < 0 for claim in found.values()) == 4
    means = results.runs.groupby(["task", "label"])["score"].mean()
    for task in ("sst2", "stsb"):
        others = means[task].drop("vanilla")
        assert f"({others.min():.1f} to {others.max():.1f} against {means[task, 'vanilla']:.1f})" in text
    before = load("lowres-cpu", Layout()).runs.query("label == 'lora'").groupby("task")["score"].mean()
    assert (
        f"LoRA reaches {means['sst2', 'lora']:.1f} on SST-2 and {means['stsb', 'lora']:.1f} on STS-B, against "
        f"{before['sst2']:.1f} and {before['stsb']:.1f} there"
    ) in text


@pytest.mark.skipif(not Layout().archive("ablation").exists(), reason="no committed records of the ablation")
def test_the_parts_of_the_gain_agree_with_the_records() -> None:
    results, number = load("ablation", Layout()), r"([+−][\d.]+)"
    text = (ROOT / "amix" / "agwm" / "README.md").read_text(encoding="utf-8")
    row = rf"\| `([^`]+)` − `([^`]+)` \| {number} \({number} to {number}\) \| ([\d.]+) \|"
    found = re.findall(row, text)
    assert len(found) == 18
    for label, other, *written in found:
        claim = claims(results, results.plan.sizes[0], other)[label]
        expected = (claim.difference, claim.low, claim.high, claim.p_equivalent)
        for shown, value in zip(written, expected, strict=True):
            unit = 10 ** -len(shown.partition(".")[2])
            assert abs(float(shown.replace("−", "-")) - value) <= 0.51 * unit, (label, other, shown)
