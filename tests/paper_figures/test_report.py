"""The page is self-contained, escaped and complete; opened in a real browser if there is one."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from amix.specs.store import digest
from helpers import synthetic_records
from paper_figures.page.report import write
from results.analysis.summary_text import answer
from results.loading.frame import load
from results.loading.layout import Layout

EVIL = "<script>document.title='owned'</script>"
BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    suite = synthetic_records.Suite(
        methods=("vanilla", "agwm", "mixout", EVIL),
        note="for trying, not evidence",
        outcomes={("agwm", "rte", 1): "failed", ("mixout", "cola", 2): "oom"},
        left_out=(("mixout", "cola", 3),),
    )
    layout = synthetic_records.write(suite, tmp_path_factory.mktemp("page"))
    path = layout.records / "toy" / f"{suite.spec('agwm', 'rte', 100, 1).key}.json"
    record = json.loads(path.read_text())
    record["error"] |= {"message": f"label {EVIL}", "traceback": f"Traceback {EVIL} & more"}
    path.write_text(json.dumps(record | {"digest": digest(record)}))
    (path.parent / ("0" * 64 + ".json")).write_text("{")
    return layout


@pytest.fixture(scope="module")
def page(layout: Layout) -> Path:
    return write("toy", layout)


class Reader(HTMLParser):
    """Collects tags and attributes, and checks that every opened tag is closed."""

    VOID = ("meta", "br", "link", "img")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_has_no_external_address(page: Path) -> None:
    text = page.read_text()
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    for tag, attributes in reader.tags:
        assert tag not in ("link", "img", "iframe", "object", "base")
        for name, value in attributes.items():
            assert name not in ("src", "srcset", "action")
            assert not name.endswith("href") or (value or "").startswith("#")
    identifiers = [attributes["id"] for _, attributes in reader.tags if attributes.get("id")]
    assert len(identifiers) == len(set(identifiers))
    assert "url(http" not in text
    assert "@import" not in text


def test_every_text_of_a_record_is_escaped(page: Path) -> None:
    assert EVIL not in page.read_text()
    assert page.read_text().count("<script") == 1


def test_every_outcome_is_on_the_page(page: Path) -> None:
    text = page.read_text()
    assert "72 planned: 1 failed, 1 missing, 69 ok, 1 oom" in text
    assert "1 record left out" in text
    assert "is not JSON, perhaps cut short" in text
    assert "for trying, not evidence" in text
    assert "Traceback &lt;script&gt;" in text
    assert "python -m runners sweep --suite toy" in text
    assert "2.13.0" in text


def test_the_same_records_give_the_same_page(layout: Layout, page: Path) -> None:
    before = page.read_bytes()
    assert write("toy", layout).read_bytes() == before


@pytest.mark.parametrize(
    ("suite", "words"),
    [
        (synthetic_records.Suite(seeds=tuple(range(8)), gains={"agwm": 5.0}), "agwm is significantly better"),
        (synthetic_records.Suite(seeds=tuple(range(8)), gains={"agwm": -5.0}), "agwm is significantly worse"),
        (synthetic_records.Suite(seeds=tuple(range(8)), gains={"agwm": 5.0}), "by more than the 1 point"),
        (
            synthetic_records.Suite(seeds=tuple(range(8)), gains={"agwm": 0.9}),
            "though perhaps by less than the 1 point",
        ),
        (
            synthetic_records.Suite(seeds=tuple(range(8)), gains={}, difference_sd=4.0),
            "That is no evidence of a difference",
        ),
        (
            synthetic_records.Suite(seeds=tuple(range(8)), gains={"agwm": 2.5}, difference_sd=4.0),
            "The interval alone excludes zero, but the difference is not significant",
        ),
        (
            synthetic_records.Suite(tasks=("rte",), seeds=(1, 2), gains={"agwm": 30.0}),
            "So few runs cannot show a difference",
        ),
        (synthetic_records.Suite(methods=("vanilla",)), "There is one method only"),
        (synthetic_records.Suite(seeds=(1,)), "on every task: nothing can be said over tasks"),
        (
            synthetic_records.Suite(
                left_out=tuple((m, "rte", s) for m in synthetic_records.Suite().methods for s in range(1, 7))
            ),
            "on every task (RTE: no scored run): nothing can be said over tasks",
        ),
        (
            synthetic_records.Suite(tasks=tuple(synthetic_records.TASKS), seeds=(1, 2), gains={}, difference_sd=9.0),
            "no difference that two scores can have would be found",
        ),
    ],
)
def test_the_answer_agrees_with_the_statistics(tmp_path: Path, suite: synthetic_records.Suite, words: str) -> None:
    sentences = answer(load("toy", synthetic_records.write(suite, tmp_path)), "100")
    assert words in " ".join(sentences)


def test_the_answer_on_two_methods_mentions_no_others(tmp_path: Path) -> None:
    for methods in (("vanilla", "agwm"), ("vanilla", "mixout", "agwm")):
        suite = synthetic_records.Suite(seeds=tuple(range(8)), methods=methods)
        last = answer(load("toy", synthetic_records.write(suite, tmp_path / str(len(methods)))), "100")[-1]
        assert last.startswith("Of the other methods") == (len(methods) > 2)


def test_the_page_opens_in_a_browser_sorts_on_click_and_runs_no_foreign_script(page: Path, tmp_path: Path) -> None:
    if BROWSER is None:
        pytest.skip("no chromium or chrome is installed")
    driver = """<script>
      const table = document.querySelector("table.sortable"), header = table.tHead.rows[0].cells[1];
      const column = () => [...table.tBodies[0].rows].map((row) => row.cells[1].dataset.value ?? "");
      header.click(); const falling = column(); header.click();
      document.body.insertAdjacentHTML("beforeend", "<p id=outcome></p>");
      const requests = performance.getEntriesByType("resource").length;
      document.getElementById("outcome").textContent =
        JSON.stringify({title: document.title, falling, rising: column(), requests});
    </script></body>"""
    # The page forbids every script but its own, which is the point; the test's driver is let in by dropping the policy.
    text = page.read_text()
    driven = tmp_path / "driven.html"
    driven.write_text(
        re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", text).replace("</body>", driver)
    )
    outcome = re.search(r'<p id="outcome">(.*?)</p>', _dom(driven, tmp_path)[0])
    assert outcome
    observed = json.loads(outcome[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    falling = [float(value) for value in observed["falling"] if value]
    assert len(falling) == 6  # the majority class, four methods, and the detectable difference
    assert falling == sorted(falling, reverse=True)
    assert [float(value) for value in observed["rising"] if value] == sorted(falling)
    assert observed["title"] == "Synthetic records"
    assert observed["requests"] == 0
    assert "CONSOLE" not in _dom(page, tmp_path)[1]


def _dom(page: Path, folder: Path) -> tuple[str, str]:
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--user-data-dir={folder}/profile",
    ]
    command = [str(BROWSER), *flags, "--virtual-time-budget=2000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, done.stderr
