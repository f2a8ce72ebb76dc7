"""Definitions of sources: word lists with their examples, a mistake told with its place, the bundled ones loaded."""

import re

import pytest

from analysis_lib.claims import parsed
from analysis_lib.errors import BadInput
from analysis_lib.paths import ROOT
from analysis_lib.sources.definitions import COMMON, FOLDER, Source, load_source, names

WORDS = parsed((FOLDER / f"{COMMON}.yml").read_bytes())[1]
OWN = """title: mine
publisher: me
url: null
licence: mine
rights: rows
table: ged
needs: [when]
columns:
  date: "{when}"
"""


def own(folder, text):
    path = folder / "mine.yml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", WORDS)
def test_a_list_of_words_finds_its_examples_and_leaves_the_others(name):
    pattern = load_source("acled").pattern(f"<{name}>")
    assert WORDS[name]["finds"]
    assert WORDS[name]["leaves"]
    assert [text for text in WORDS[name]["finds"] if not re.search(pattern, text)] == []
    assert [text for text in WORDS[name]["leaves"] if re.search(pattern, text)] == []


@pytest.mark.parametrize("name", names())
def test_every_list_named_in_a_pattern_exists_and_duckdb_reads_it_as_python_does(name):
    import duckdb

    source = load_source(name)
    choices = [choice for group in (source.set_aside, *source.columns.values()) for choice in group]
    texts = [t for c in choices for part in (*c.when, *c.unless) for t in part.values() if isinstance(t, str)]
    examples = [text for entry in WORDS.values() for kind in ("finds", "leaves") for text in entry[kind]]
    for pattern in map(source.pattern, texts):
        found = duckdb.execute("SELECT regexp_matches(unnest(?), ?)", [examples, pattern]).fetchall()
        assert [bool(re.search(pattern, text)) for text in examples] == [row[0] for row in found], pattern


def test_restricted_sources_are_those_whose_licence_forbids_to_pass_rows_on():
    assert {name for name in names() if load_source(name).rights == "aggregates"} == {"acled", "gtd"}


def test_words_of_ones_own_stand_beside_the_common_ones(tmp_path):
    source = load_source(own(tmp_path, f"{OWN}words: {{drone: [buzzer], mine: [x+]}}\n"))
    assert source.pattern("<mine>|<drone>") == r"(?i)\b(?:x+)\b|\b(?:buzzer)\b"
    assert source.words["rocket"] == load_source("acled").words["rocket"]
    with pytest.raises(BadInput, match="unknown list of words 'dron': did you mean drone"):
        source.pattern("<dron>")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            OWN.replace("rights: rows", "rights: all"),
            r"mine\.yml:5: rights: Input should be 'rows' or 'aggregates'; mend",
        ),
        (OWN.replace("columns:", "cells:"), r"mine\.yml:1: columns: Field required"),
        (f"{OWN}  theatre:\n    - {{if: {{when: x}}, then: iraq}}\n", r"mine\.yml:11: columns\.theatre\.0\.if: Extra"),
        (f"{OWN}  theatre: [{{of: when, means: [iraq]}}]\n", r"mine\.yml:10: columns\.theatre\.0\.of: Extra"),
        ("- a list", r"mine\.yml:1: file: not a definition"),
        ("a: [", r"mine\.yml:\d: file: did not find expected node content"),
        ("", r"mine\.yml:1: file: not a definition"),
    ],
)
def test_a_mistake_in_a_definition_is_told_with_its_line(tmp_path, text, told):
    with pytest.raises(BadInput) as error:
        load_source(own(tmp_path, text))
    assert any(re.search(told, line) for line in error.value.lines), error.value.lines
    assert all("docs/data.md" in line and str(tmp_path) not in line for line in error.value.lines)


@pytest.mark.parametrize("name", ["aclde", "../acled", "words", "acled.yml.txt"])
def test_a_name_that_is_no_source_never_becomes_a_path(name):
    with pytest.raises(BadInput, match="unknown source"):
        load_source(name)


def test_a_definition_that_is_not_there_is_told():
    with pytest.raises(BadInput, match=r"nowhere\.yml:1: file: No such file or directory"):
        load_source("nowhere.yml")


def test_the_documentation_names_every_key_and_every_source():
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    keys = {*Source.model_fields} - {"name"}
    assert [key for key in keys | {*names()} if f"`{key}`" not in text] == []
    block = parsed(text.partition("```yaml\n")[2].partition("```")[0])[1]
    given = parsed((FOLDER / "gdelt.yml").read_bytes())[1] | {"name": "mine", "words": {}} | block
    choices = Source.model_validate(given).columns["theatre"]
    assert [choice.then for choice in choices] == ["iraq", "syria", "yemen_gulf"]
