"""Problems of users' files, one test per kind: read by a stated rule, or refused with the line."""

import json
import os
from pathlib import Path
from typing import Any

import datasets
import pandas
import pyarrow.parquet
import pytest

from amix.data.table_files import open_table, read_table
from amix.specs.data_errors import DataError

NEEDED = ("text", "label")


def save(folder: Path, content: str | bytes, name: str = "rows.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(folder: Path, content: str | bytes, name: str = "rows.csv", encoding: str = "") -> dict[str, list[Any]]:
    frame = read_table(save(folder, content, name), NEEDED, encoding)
    return {str(column): values for column, values in frame.to_dict("list").items()}


def refused(folder: Path, content: str | bytes, name: str = "rows.csv", encoding: str = "") -> str:
    with pytest.raises(DataError) as caught:
        read(folder, content, name, encoding)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{folder}{os.sep}")


BOTH = {"text": ["grün, alt", "neu"], "label": ["ja", "nein"]}


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ('text,label\r\n"grün, alt",ja\r\nneu,nein\r\n', "utf-8"),
        ("text;label\r\ngrün, alt;ja\r\nneu;nein\r\n", "utf-8"),
        ("sep=;\r\ntext;label\r\ngrün, alt;ja\r\nneu;nein\r\n", "utf-8-sig"),
        ("text\tlabel\ngrün, alt\tja\nneu\tnein", "utf-16"),
        ("text\tlabel\ngrün, alt\tja\nneu\tnein", "utf-32"),
        (' text , label\n\n"grün, alt",ja\n\nneu,nein\n\n', "utf-8-sig"),
        ('text,label\r"grün, alt",ja\rneu,nein\r', "utf-8"),
        ('text,label,,\n"grün, alt",ja,,\nneu,nein,,\n', "utf-8"),
    ],
)
def test_files_written_by_spreadsheets_are_read(tmp_path: Path, content: str, encoding: str) -> None:
    assert read(tmp_path, content.encode(encoding)) == BOTH


def test_an_encoding_given_by_the_owner_is_used(tmp_path: Path) -> None:
    content = 'text,label\n"grün, alt",ja\nneu,nein\n'.encode("cp1252")
    assert read(tmp_path, content, encoding="cp1252") == BOTH
    assert read(tmp_path, content, encoding="windows-1252") == BOTH
    message = refused(tmp_path, content)
    assert message.startswith("rows.csv, line 2: byte 0xfc is not UTF-8 (looks like cp1252: '\"grün, alt\",ja')")
    assert "encoding: cp1252" in message
    assert "--encoding cp1252" in message


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Le vélo est arrivé cassé"),
        ("cp1252", "für 20 € – schön"),
        ("cp1251", "Насос не пришёл, очень плохо, деньги верните"),
        ("gb18030", "这个自行车非常好用我很喜欢"),
    ],
)
def test_the_likely_encoding_is_named(tmp_path: Path, encoding: str, text: str) -> None:
    content = "text,label\n" + "plain,yes\n" * 30_000 + f'"{text}",no\n' * 5
    message = refused(tmp_path, content.encode(encoding))
    assert message.startswith("rows.csv, line 30002: ")
    assert f"looks like {encoding}" in message


@pytest.mark.parametrize(
    ("content", "encoding", "words"),
    [
        (b"text,label\nfine,yes\n\x81\x8d,no\n", "cp1252", "line 3: byte 0x81 is not cp1252"),
        (b"text,label\na,yes\n", "klingon", "'klingon' is not an encoding"),
        (b"text,label\na,yes\n", "hex", "'hex' is not an encoding"),
        ("text,label\na,yes\n".encode("utf-8-sig"), "cp1252", "first bytes mean utf-8-sig, but encoding is cp1252"),
        ("text,label\na,yes\n".encode("utf-16-le"), "", "line 1: contains a NUL character"),
        (b"text,label\na\0b,yes\n", "", "line 2: contains a NUL character"),
        ("text,label\na,yes\nb,no\n".encode("utf-16")[:-1], "", "line 3: byte 0x0a is not utf-16"),
        (b"", "", "has no rows"),
        (b"\n\n", "", "has no rows"),
    ],
)
def test_bytes_that_are_not_text_are_named(tmp_path: Path, content: bytes, encoding: str, words: str) -> None:
    assert words in refused(tmp_path, content, encoding=encoding)


def test_an_open_quote_in_tabs_is_text_if_every_line_is_then_a_row(tmp_path: Path) -> None:
    lines = 'text\tlabel\n"Loud, he said\tyes\nthe 12" one\tno\n\'fine\tyes\n'
    path = save(tmp_path, lines, "rows.tsv")
    frame = read_table(path, NEEDED)
    assert frame["text"].tolist() == ['"Loud, he said', 'the 12" one', "'fine"]
    assert "quotes are read as text" in frame.attrs["notes"][0]
    assert "line 2" in frame.attrs["notes"][0]
    assert "line 2: a quoted text continues" in refused(tmp_path, lines + "one field\n", "rows.tsv")
    assert "line 2: a text begins with a quote that is never closed" in refused(
        tmp_path, 'text\tlabel\n"open\tyes\nshort\n', "rows.tsv"
    )


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_rows_that_a_pair_of_stray_quotes_would_join_are_refused(tmp_path: Path, separator: str) -> None:
    rows = ["text,label", '"great screen,good', "fine,good", 'I bought 12",bad', "poor,bad"]
    message = refused(tmp_path, "\n".join(rows).replace(",", separator))
    assert message.startswith("rows.csv, line 2: a quote opens here")
    assert "2 rows or 4" in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text,label\na,yes\nb, c,no\n", "line 3 has 3 fields, the header 2 (the last one is 'no'); columns are"),
        ('text,label\n"a\n\nb",yes\n\n\nshort\n', "line 7 has 1 field, the header 2"),
        (
            'text,label\n"a","yes",\n"b","no",\n',
            "line 2 has 3 fields, the header 2 (the last one is ''); the line ends",
        ),
        ("text,label\na,yes\n   \n", "line 3 has 1 field"),
        ('text,label\n"a",yes\n"b,no\nc,no\n', "line 3: a text begins with a quote that is never closed; close it"),
        ('text,label\n"a"b,yes\n', "line 2: a quoted text continues after its closing quote"),
        (f'text,label\n"{"long " * 40_000}",yes\n', "line 2: a text is longer than 131,072 characters"),
        ("text,label,label\na,yes,no\n", "line 1: the column 'label' appears more than once"),
        ("text,label, text\na,yes,no\n", "line 1: the column 'text' appears more than once"),
        ("texts,label\na,yes\n", "no column 'text'; columns there: 'texts', 'label'; did you mean 'texts'?"),
        (
            "Text,Label\na,yes\n",
            "no column 'text', 'label'; columns there: 'Text', 'Label'; did you mean 'Text', 'Label'?",
        ),
        ("fine,yes\nbad,no\n", "no column 'text', 'label'; columns there: 'fine', 'yes'"),
        ("text,label\n", "has no rows"),
        ("text|label\na, b|yes\n", "line 1: columns seem to be separated by '|'; save the file with commas"),
        (f"{'a long text ' * 5},yes\nbad,no\n", "; the first line must hold the columns' names"),
        (
            b"PK\x03\x04\x14\x00\x06\x00",
            "is a zip archive, as Excel's .xlsx files are, not a text file; save its table",
        ),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is an old Excel or Word file"),
        (b"\x1f\x8b\x08\x00", "is compressed (gzip)"),
        (b"PAR1\x15\x04\x15\x08", "is a Parquet file, not a text file"),
        (b"%PDF-1.7\n", "is a PDF"),
    ],
)
def test_records_that_do_not_fit_are_named_with_their_line(tmp_path: Path, content: str | bytes, words: str) -> None:
    assert words in refused(tmp_path, content)


def test_a_separator_must_fit_every_line_and_the_columns_decide_between_two(tmp_path: Path) -> None:
    assert read(tmp_path, "text;label\na,b;yes\nc,d;no\n")["text"] == ["a,b", "c,d"]
    assert read(tmp_path, "text,label,a;b\nx,yes,1;2\n")["label"] == ["yes"]
    path = save(tmp_path, "a,b;c\n1,2;3\n")
    with pytest.raises(DataError, match="can be split at commas as well as semicolons"):
        open_table(path)


def test_places_are_lines_of_the_file(tmp_path: Path) -> None:
    path = save(tmp_path, 'text,label\r\n\r\n"a\r\nb\n\nc",yes\r\nd,no\r\n\r\ne,no')
    frame = read_table(path, NEEDED)
    assert (frame.index.name, frame.index.tolist()) == ("line", [3, 7, 9])


WRITTEN = ["None", "NA", "nan", "1e5", "01", "true", " b ", "1.0", "NULL"]


def test_texts_stay_as_written(tmp_path: Path) -> None:
    rows = "".join(f"{text},x\n" for text in WRITTEN)
    assert read(tmp_path, f"text,label\n{rows}")["text"] == WRITTEN
    numbers = '{"text": 1e5, "label": 1.50}\n{"text": 100000000000000000000001, "label": -0}\n'
    assert read(tmp_path, numbers, "rows.jsonl") == {
        "text": ["1e5", "100000000000000000000001"],
        "label": ["1.50", "-0"],
    }


OBJECTS = [{"text": "a\u2028b", "label": "yes"}, {"text": "c", "label": "no"}]


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
def test_json_is_one_object_per_line_or_an_array(tmp_path: Path, name: str) -> None:
    expected = {"text": ["a\u2028b", "c"], "label": ["yes", "no"]}
    assert read(tmp_path, "\n".join(json.dumps(one, ensure_ascii=False) for one in OBJECTS), name) == expected
    assert read(tmp_path, json.dumps(OBJECTS, indent=2), name) == expected
    frame = read_table(save(tmp_path, "[\n" + ",\n\n".join(map(json.dumps, OBJECTS)) + "]", name), NEEDED)
    assert frame.index.tolist() == [2, 4]


ONE = '{"text": "a", "label": "x"}'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"text": "a", "label": "x"', "line 1: is not JSON"),
        (f"{ONE}\n{ONE} {ONE}\n", 'line 2: \'{"text": "a", "label": "x"}\' follows the object'),
        (f"{ONE}\n[1]\n", "line 2: an object such as"),
        (f'{ONE}\n{{"text": "a"}}\n', "line 2: no column 'label'; columns there: 'text'"),
        ('{"text": "a", "text": "b", "label": "x"}', "line 1: the field 'text' appears more than once"),
        ('{"text": "a", " text": "b", "label": "x"}', "line 1: the field 'text' appears more than once"),
        ('{"text": "a", "label": NaN}', "line 1: NaN is not JSON"),
        ('{"text": "a", "label": ' + "[" * 100_000 + "}", "line 1: is nested too deeply"),
        (f"[{ONE},\n{ONE}", "end of the array, found the end of the file"),
        (f"[{ONE},\n{ONE},]", "line 2: expected a comma and an object, or the end of the array, found ']'"),
        (f"[{ONE},\n\n{ONE}] {{}}", "line 3: '{}' follows the end of the array"),
        (f"[{ONE},\n\n7]", "line 3: an object such as"),
        ("[]", "has no rows"),
        ('{"data": [\n1]}', "line 2: is not JSON"),
        (f'{{"data": [{ONE}, {ONE}]}}', "is one object with the rows in its field 'data'; save that list alone"),
        (f'{{\n"data": [\n{ONE}]\n}}', "is one object with the rows in its field 'data'"),
        ('{"text": {"0": "a", "1": "b"}, "label": {"0": "x", "1": "y"}}', "is one object with a list for every column"),
        (
            '{"text": ["a", "b"], "label": ["x", "y"]}',
            'write rows (pandas: to_json(..., orient="records", lines=True))',
        ),
        ("", "has no rows"),
    ],
)
def test_invalid_json_is_named_with_its_line(tmp_path: Path, content: str, words: str) -> None:
    assert words in refused(tmp_path, content, "rows.jsonl")


def test_bytes_in_parquet_are_utf8_texts_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pandas.DataFrame({"text": ["schön".encode(), b"b"], "label": [1, 0]}).to_parquet(path)
    frame = read_table(path, NEEDED)
    assert frame["text"].tolist() == ["schön", "b"]
    assert frame.index.name == "row"
    pandas.DataFrame({"text": [b"a", "schön".encode("cp1252")], "label": [1, 0]}).to_parquet(path)
    with pytest.raises(DataError, match=r"rows\.parquet, row 2, column text: b'sch\\xf6n' is binary, not UTF-8"):
        read_table(path, NEEDED)
    with pytest.raises(DataError, match="no column 'body'"):
        read_table(path, ("body",))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="is not a readable Parquet file"):
        read_table(path, NEEDED)


def test_row_numbers_that_pandas_saves_are_no_column(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"text": ["a", "b", "c"], "label": ["x", "y", "x"]}).iloc[[2, 0]]
    frame.to_parquet(tmp_path / "rows.parquet")
    datasets.Dataset.from_pandas(frame).save_to_disk(tmp_path / "saved")
    for source in (tmp_path / "rows.parquet", tmp_path / "saved"):
        assert read_table(source, NEEDED).to_dict("list") == {"text": ["c", "a"], "label": ["x", "x"]}


def test_a_saved_data_set_is_read_with_the_names_of_its_classes(tmp_path: Path) -> None:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    saved = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    saved.select([2, 0]).save_to_disk(tmp_path / "one")
    assert read_table(tmp_path / "one", NEEDED).to_dict("list") == {"text": ["c", "a"], "label": [-1, "yes"]}
    datasets.DatasetDict({"train": saved, "dev": saved}).save_to_disk(tmp_path / "both")
    assert len(read_table(tmp_path / "both" / "train", NEEDED)) == 3
    with pytest.raises(DataError, match="several splits; give one of them: .*both/dev, .*both/train"):
        read_table(tmp_path / "both", NEEDED)
    with pytest.raises(DataError, match="is a folder, but not one that save_to_disk"):
        read_table(tmp_path, NEEDED)


def test_parquet_as_the_hub_stores_it_is_read_with_the_names_of_its_classes(tmp_path: Path) -> None:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    saved = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, -1]}, features=features)
    saved.to_parquet(tmp_path / "rows.parquet")
    assert read_table(tmp_path / "rows.parquet", NEEDED)["label"].tolist() == ["yes", -1]


@pytest.mark.parametrize("metadata", ["", "{", "[]", '{"info": 1}', '{"info": {"features": {"label": {"names": 3}}}}'])
def test_parquet_without_class_names_is_read_as_it_is(tmp_path: Path, metadata: str) -> None:
    table = pyarrow.table({"text": ["a", "b"], "label": [1, 0]}).replace_schema_metadata({"huggingface": metadata})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    assert read_table(tmp_path / "rows.parquet", NEEDED)["label"].tolist() == [1, 0]


def test_a_data_set_of_the_hub_is_loaded_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(*arguments: str, **options: str) -> datasets.Dataset:
        asked.append((arguments, options))
        return datasets.Dataset.from_dict({"text": ["a"], "label": ["yes"]})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert read_table("hub:owner/mail:en:train", NEEDED)["text"].tolist() == ["a"]
    assert asked == [(("owner/mail", "en"), {"split": "train"})]
    with pytest.raises(DataError, match="hub:owner/name:split"):
        read_table("hub:owner/mail")

    def fail(*arguments: str, **options: str) -> datasets.Dataset:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(DataError, match=r"hub:owner/mail:train: could not be loaded from the Hub \(no route\);"):
        read_table("hub:owner/mail:train")


def test_pipes_devices_and_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for source, words in (
        (tmp_path / "pipe.csv", "is a pipe, socket or device"),
        (Path("/dev/zero"), "is a pipe, socket or device"),
        (tmp_path / "absent.csv", "No such file"),
        (tmp_path / ("x" * 300 + ".csv"), "File name too long"),
        (tmp_path / "a\0.csv", "cannot be read"),
        (save(tmp_path, "", "rows.xlsx"), "unknown kind of file; use .csv"),
    ):
        with pytest.raises(DataError, match=words):
            read_table(source)


def test_a_file_too_large_for_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = save(tmp_path, "text,label\na,yes\n")
    with path.open("r+b") as file:
        file.truncate(3 << 30)
    with pytest.raises(DataError, match="larger than 2 GiB"):
        read_table(path)
