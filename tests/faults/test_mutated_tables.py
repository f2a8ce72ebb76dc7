"""However a table is damaged: every row of the file is read, or the folder is refused with lines that say why.

`make test` tries a hundred mutations, `make faults` (FAULTS=full) a thousand, each by its number, so that a failure can
be made again. Rows are counted here by the rules of RFC 4180, by another reader than the package's.
"""

from __future__ import annotations

import csv
import io
import os
import random
import subprocess
import sys

import pytest
from test_bundled import CELLS

from analysis_lib.errors import BadInput
from analysis_lib.paths import DATA, ROOT
from analysis_lib.sources.bundled import load_tables

MUTATIONS = 1000 if os.environ.get("FAULTS") == "full" else 100
TABLES = ("events", "windows", "counts", "daily_counts", "coverage", "second_coding")
BYTES = [
    b"\0",
    b'"',
    b"\n",
    b"\r",
    b"\r\n",
    b",",
    b"\xff",
    b"\xef\xbb\xbf",
    b";",
    b"\t",
    b"",
    b"\xe2\x80\xa8",
    b"\x1b[2J",
]
HOSTILE = [cell for cells in CELLS for cell in cells]


@pytest.fixture(scope="module")
def good() -> dict[str, bytes]:
    """Thirty rows of each bundled table; one that would point at a row that is not among them is left out."""
    found = {}
    for name in TABLES:
        with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        pointer = header.index("possible_duplicate_of") if "possible_duplicate_of" in header else None
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(
            [header, *[row for row in rows if pointer is None or not row[pointer]][:30]]
        )
        found[name] = text.getvalue().encode()
    return found


def by_cells(raw: bytes, chance: random.Random) -> bytes:
    rows = list(csv.reader(io.StringIO(raw.decode(), newline="")))
    row = rows[chance.randrange(len(rows))]
    row[chance.randrange(len(row))] = chance.choice(HOSTILE)
    return written(rows)


def by_rows(raw: bytes, chance: random.Random) -> bytes:
    rows = list(csv.reader(io.StringIO(raw.decode(), newline="")))
    first, second = chance.randrange(len(rows)), chance.randrange(len(rows))
    match chance.randrange(6):
        case 0:
            rows.insert(second, [*rows[first]])
        case 1:
            rows[first], rows[second] = rows[second], rows[first]
        case 2:
            rows[first].insert(chance.randrange(len(rows[first]) + 1), chance.choice(HOSTILE))
        case 3:
            del rows[first][chance.randrange(len(rows[first]))]
        case 4:
            column = chance.randrange(len(rows[0]))
            rows = [row[:column] + row[column + 1 :] for row in rows]
        case 5:
            rows.insert(second, [chance.choice(["", " "])] * chance.choice([0, 1, len(rows[0])]))
    return written(rows)


def by_bytes(raw: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(raw) + 1)
    end = min(start + chance.choice([0, 0, 1, 3, 40, 4000]), len(raw))
    return raw[:start] + chance.choice(BYTES) + raw[end:]


def as_a_whole(raw: bytes, chance: random.Random) -> bytes:
    ways = [
        lambda: b"\xef\xbb\xbf" + raw,
        lambda: raw.replace(b"\n", b"\r\n"),
        lambda: raw.replace(b"\n", b"\r"),
        lambda: raw.replace(b",", b";"),
        lambda: raw.replace(b",", b"\t"),
        lambda: raw.decode().encode("utf-16"),
        lambda: raw.decode().encode("latin-1", "replace"),
        lambda: raw.rstrip(b"\n"),
        lambda: raw + b"\n\n",
        lambda: raw[: raw.index(b"\n") + 1],
        lambda: b"",
        lambda: raw + raw.partition(b"\n")[2],
    ]
    return chance.choice(ways)()


def written(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def rows_of(raw: bytes) -> int:
    """Records below the header, by a reader of its own: a quote opens where a field begins, an empty line is none."""
    records, quoted, held, before = 0, False, False, ","
    for letter in raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n"):
        if quoted:
            quoted = letter != '"'
        elif letter == '"' and before in ',\n"':
            quoted = held = True
        else:
            records, held = (records + held, False) if letter == "\n" else (records, True)
        before = letter
    return records + held - 1


def mutated(good: dict[str, bytes], number: int) -> dict[str, bytes]:
    chance = random.Random(number)
    files, name = dict(good), chance.choice(TABLES)
    for _ in range(chance.choice([1, 1, 2, 3])):
        way = chance.choice([by_cells, by_cells, by_rows, by_bytes, by_bytes, as_a_whole])
        try:
            files[name] = way(files[name], chance)
        except (UnicodeError, csv.Error, IndexError, ValueError):  # an earlier mutation left no table to mutate
            break
    return files


def test_no_row_is_lost_in_silence(good, tmp_path):
    accepted = refused = 0  # and what is refused says why, in lines
    for number in range(MUTATIONS):
        files = mutated(good, number)
        for name, raw in files.items():
            (tmp_path / f"{name}.csv").write_bytes(raw)
        try:
            tables = load_tables(tmp_path)
        except BadInput as error:
            refused, told = refused + 1, error.lines
        else:
            accepted, told = accepted + 1, ()
        if told:
            assert all(": got " in line and ", do " in line and line.isprintable() for line in told), number
            continue
        for name, raw in files.items():
            assert len(getattr(tables, name)) == rows_of(raw), (number, name)
    print(f"\n{MUTATIONS} mutated tables: {accepted} read with every row, {refused} refused, 0 tracebacks")
    assert accepted > MUTATIONS // 10
    assert refused > MUTATIONS // 10


def test_the_mutations_are_no_tables_of_one_kind(good):
    assert rows_of(good["windows"]) == 30
    assert rows_of(b'a,b\n"1\n2",3\n\n4,"5""6"\r\n') == 2
    assert len({tuple(mutated(good, number).values()) for number in range(100)}) > 90


@pytest.mark.parametrize("number", range(0, 1000, 50 if MUTATIONS == 1000 else 500))
def test_the_command_says_so_without_a_traceback(good, tmp_path, number):
    for name, raw in mutated(good, number).items():
        (tmp_path / f"{name}.csv").write_bytes(raw)
    words = [sys.executable, "-m", "analysis_lib", "data", "check", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 2)
    assert "Traceback" not in done.stderr
    assert (done.returncode == 2) == done.stderr.startswith("error: ")
