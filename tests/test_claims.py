"""The registry: what is bundled, what is refused and how the refusal helps, a user's own file, knobs."""

from datetime import date
from pathlib import Path

import pytest
import yaml

from analysis_lib import Spec, Window, load_claims
from analysis_lib.claims import NOTEBOOK, TEXTS, Fact, knob_value
from analysis_lib.errors import BadInput
from analysis_lib.paths import REGISTRY

ENTRY = """\
claims:
  - id: my-claim
    text: [S2]
    place: somewhere
    published: 2021-06-05
    origin: ours
    kind: test
    family: pause
    statement: Something paused.
    question: Did it pause?
    estimand: a ratio
    spec:
      theatres: [iraq]
      weapons: [drone]
      window_start: 2021-05-10
      window_end: 2021-05-21
      frame_start: 2021-04-14
      frame_end: 2021-06-05
    rule:
      direction: less
      sesoi: 0.5
    variations:
      - {choice: weapons, label: rockets, set: {weapons: [rocket]}}
"""


@pytest.fixture
def load(tmp_path):
    """The registry with the text of a user's file beside it."""

    def of(text: str | bytes):
        path = tmp_path / "mine.yml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_claims(path)

    return of


def refusal(load, old: str, new: str) -> list[str]:
    """The error's lines after one change of the entry."""
    assert ENTRY.count(old) == 1
    with pytest.raises(BadInput) as caught:
        load(ENTRY.replace(old, new))
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()


# ---- the bundled registry --------------------------------------------------------------------------------------------


def test_every_bundled_claim_has_its_text_its_notebook_and_its_rule(registry):
    assert len(registry.claims) >= 40
    for claim in registry.claims:
        assert set(claim.text) <= set(TEXTS)
        assert claim.notebook == NOTEBOOK[claim.family]
        assert ("test" in claim.kind) <= (claim.rule is not None)
        assert claim.question.endswith("?")


def test_every_test_of_the_pause_family_fixes_its_rule_beforehand(registry):
    for claim in (c for c in registry.claims if c.family == "pause"):
        assert len(claim.rule.robustness) >= 2
        assert claim.rule.claimed_effect is not None
        assert claim.spec.placebo_start is not None


@pytest.mark.parametrize(
    ("claim", "window", "frame"),
    [
        ("pause-2021", ("2021-05-10", "2021-05-21"), ("2021-04-14", "2021-06-05")),
        ("pause-2023", ("2023-10-07", "2023-11-23"), ("2023-07-09", "2023-11-23")),
        ("pause-truce-2023", ("2023-11-25", "2023-11-30"), ("2023-10-17", "2023-11-30")),
    ],
)
def test_windows_and_frames_are_those_fixed_in_the_methods(registry, claim, window, frame):
    spec = registry[claim].spec
    assert spec.window == Window(*map(date.fromisoformat, window))
    assert spec.frame == Window(*map(date.fromisoformat, frame))


def test_an_unknown_claim_offers_the_nearest(registry):
    with pytest.raises(BadInput, match=r"unknown claim 'pause2021': did you mean pause-2021.*see `claims list`"):
        registry["pause2021"]


def test_a_claim_does_not_change_after_loading(registry):
    with pytest.raises(ValueError, match="frozen"):
        registry["pause-2021"].rule.sesoi = 0.9


# ---- a user's file ---------------------------------------------------------------------------------------------------


def test_a_users_entry_is_added_at_the_end(load, registry):
    merged = load(ENTRY)
    assert merged.claims[:-1] == registry.claims
    assert merged["my-claim"].spec.weapons == ("drone",)
    assert merged.sha256 != registry.sha256


def test_a_users_entry_takes_the_place_of_the_bundled_one_with_its_id(load, registry):
    merged = load(ENTRY.replace("my-claim", "pause-2021"))
    assert [c.id for c in merged.claims] == [c.id for c in registry.claims]
    assert merged["pause-2021"].question == "Did it pause?"
    assert merged["gap-2021"] == registry["gap-2021"]


def test_the_hash_is_that_of_the_bytes(load):
    assert load(ENTRY).sha256 == load(ENTRY).sha256 != load(ENTRY + "# a comment\n").sha256


def test_a_file_that_is_not_there_is_bad_input():
    with pytest.raises(BadInput, match=r"nowhere\.yml: cannot be read .*give a YAML file of claims"):
        load_claims(Path("nowhere.yml"))


# ---- refusals: where, what, what is allowed --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("statement:", "statment:", "unknown key 'statment': did you mean statement"),
        ("weapons: [drone]", "weapon: [drone]", "unknown key 'spec.weapon': did you mean spec.weapons"),
        ("sesoi: 0.5", "sesoi: 0.5\n      aplha: 0.05", "unknown key 'rule.aplha': did you mean rule.alpha"),
        ("label: rockets", "lable: rockets", "unknown key 'variations.0.lable': did you mean variations.0.label"),
        ("set: {weapons: [rocket]}", "set: {weapon: [rocket]}", "unknown knob 'weapon': did you mean weapons"),
        ("[iraq]", "[irak]", "spec.theatres.0: got 'irak'; allowed: 'iraq', 'syria'"),
        ("[drone]", "[]", "spec.weapons: "),
        (
            "direction: less",
            "direction: fewer",
            "rule.direction: got 'fewer'; allowed: 'less', 'greater' or 'two-sided'",
        ),
        ("sesoi: 0.5", "sesoi: half", "rule.sesoi: got 'half'"),
        ("direction: less", "direction: less\n      alpha: 0.6", "rule.alpha: got 0.6"),
        ("published: 2021-06-05", "published: June", "published: got 'June'"),
        ("kind: test", "kind: hunch", "kind: got 'hunch'; allowed: 'test', 'fact', 'fact+test' or 'documentary'"),
        ("kind: test", "kind: fact", "kind fact needs facts"),
        ("text: [S2]", "text: [S9]", "text.0: got 'S9'"),
        ("id: my-claim", "id: My Claim", "id: got 'My Claim'"),
        ("2021-05-21", "2021-05-09", "window_end 2021-05-09 is before window_start 2021-05-10"),
        ("      frame_end: 2021-06-05\n", "", "frame_start and frame_end go together"),
        ("    rule:\n      direction: less\n      sesoi: 0.5\n", "", "kind test needs spec and rule"),
        ("    place: somewhere\n", "", "place: Field required"),
        ("[rocket]}", "[arrow]}", "weapons.0: got 'arrow'"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_place(load, old, new, words):
    lines = refusal(load, old, new)
    assert any(words in line for line in lines), lines
    assert all(line.startswith("mine.yml:2: ") for line in lines)


def test_every_problem_is_named_at_once(load):
    second = ENTRY.partition("\n")[2].replace("my-claim", "other").replace("direction: less", "direction: fewer")
    with pytest.raises(BadInput) as caught:
        load(ENTRY.replace("statement:", "statment:") + second)
    lines = str(caught.value).splitlines()
    assert {line.split(":")[1] for line in lines} == {"2", "24"}  # the first line of each entry
    assert any("'statment'" in line for line in lines)
    assert any("'fewer'" in line for line in lines)


def test_the_same_id_twice_in_one_file_is_refused(load):
    with pytest.raises(BadInput, match=r"mine\.yml:24: id: got 'my-claim' again, first on line 2"):
        load(ENTRY + ENTRY.partition("\n")[2])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("claims:\n  - id: [a\n  - b: c\n", r"mine\.yml:3:\d+: not YAML"),
        ("claims:\n\t- id: a\n", r"mine\.yml:2:\d+: not YAML"),
        ("claims: " + "[" * 100_000, r"mine\.yml:1:\d+: not YAML: nested more than 50 deep"),
        (b"claims: \xff\xfe", r"mine\.yml: not YAML"),
        ("claims: !!python/object:os.system x", r"mine\.yml:1:\d+: not YAML"),
        ("", r"mine\.yml:1:1: got no list under the one key 'claims'"),
        ("claim:\n  - id: a\n", r"mine\.yml:1:1: got no list under the one key 'claims'"),
        ("claims: all\n", r"mine\.yml:1:1: got no list under the one key 'claims'"),
    ],
    ids=["open bracket", "tab", "deep", "not UTF-8", "object", "empty", "other key", "no list"],
)
def test_what_is_no_registry_is_bad_input_with_its_line(load, text, words):
    with pytest.raises(BadInput, match=words):
        load(text)


def test_a_message_is_one_line_even_where_the_file_holds_control_characters(load):
    lines = refusal(load, "[iraq]", '["ir\\e[31maq\\n"]')
    assert all(line.isprintable() for line in lines)


# ---- knobs -----------------------------------------------------------------------------------------------------------


def test_a_knob_changes_one_field_and_leaves_the_claim_as_it_was(registry):
    claim = registry["pause-2021"]
    changed = claim.with_knobs({"weapons": ["rocket"], "window_start": "2021-05-11"})
    assert changed == claim.spec.model_copy(update={"weapons": ("rocket",), "window_start": date(2021, 5, 11)})
    assert claim.spec.weapons == ("drone",)
    assert claim.with_knobs({}) == claim.spec


def test_a_window_of_one_day_is_allowed(registry):
    assert registry["pause-2021"].with_knobs({"window_end": "2021-05-10"}).window.days == 1


@pytest.mark.parametrize("value", [None, "all", ["all"]])
def test_no_weapon_named_means_all(registry, value):
    assert registry["pause-2021"].with_knobs({"weapons": value}).weapons == ("all",)


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"weapon": ["rocket"]}, "unknown knob 'weapon': did you mean weapons"),
        ({"weapons": ["arrow"]}, "pause-2021: weapons.0: got 'arrow'"),
        ({"unit": None}, "pause-2021: unit"),
        ({"draws": 10}, "pause-2021: draws: got 10"),
        ({"draws": "many"}, "pause-2021: draws: got 'many'"),
        ({"duplicates": "perhaps"}, "pause-2021: duplicates: got 'perhaps'"),
        ({"window_start": "soon"}, "pause-2021: window_start: got 'soon'"),
        ({"window_start": "2021-05-22"}, "window_end 2021-05-21 is before window_start 2021-05-22"),
        ({"frame_end": None}, "frame_start and frame_end go together"),
    ],
)
def test_a_knob_that_cannot_be_is_refused(registry, knobs, words):
    with pytest.raises(BadInput) as caught:
        registry["pause-2021"].with_knobs(knobs)
    assert words in str(caught.value)


def test_a_claim_without_a_specification_has_no_knobs(registry):
    claim = registry["pause-2021"].model_copy(update={"spec": None, "kind": "documentary"})
    with pytest.raises(BadInput, match=r"has no specification .*nothing can be set"):
        claim.with_knobs({"unit": "attack_day"})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("weapons", "[drone, rocket]", ("drone", "rocket")),
        ("weapons", "drone,rocket", ("drone", "rocket")),
        ("weapons", "null", ("all",)),
        ("unit", "attack_day", "attack_day"),
        ("duplicates", "true", True),
        ("draws", "499", 499),
        ("window_start", "2021-05-11", date(2021, 5, 11)),
    ],
)
def test_knobs_from_the_command_line(name, text, value):
    assert knob_value(name, text) == value


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("weapon", "drone", "unknown knob 'weapon': did you mean weapons"),
        ("weapons", "arrow", "got 'arrow'"),
        ("weapons", "[drone", "not a value"),
        ("weapons", "[" * 100_000, "not a value"),
        ("weapons", "!!python/object:os.system x", "not a value"),
        ("window_start", "2021-13-01", "not a value"),
        ("draws", "1", "got 1"),
    ],
    ids=["name", "word", "bracket", "deep", "object", "no such day", "too few"],
)
def test_a_knob_from_the_command_line_that_cannot_be_is_bad_input(name, text, words):
    with pytest.raises(BadInput) as caught:
        knob_value(name, text)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"event_id": "x"}, "event_id and column go together"),
        ({"measure": "attacks"}, "a measure needs start and end"),
        ({"coded": 1, "event_id": "x", "column": "killed"}, "give one of event_id, measure and coded"),
    ],
)
def test_a_fact_has_one_origin(cells, words):
    with pytest.raises(ValueError, match=words):
        Fact(field="f", stated=1, **cells)


def test_every_field_of_a_specification_says_what_it_is():
    assert [name for name, info in Spec.model_fields.items() if not info.description] == []


def test_the_file_itself_holds_each_id_once():
    ids = [entry["id"] for entry in yaml.load(REGISTRY.read_bytes(), Loader=yaml.CSafeLoader)["claims"]]
    assert len(ids) == len(set(ids))


def test_an_impossible_date_is_told_with_its_line(tmp_path):
    file = tmp_path / "mine.yml"
    file.write_text("claims:\n  - id: mine\n    published: 2021-06-05\n    spec: {window_start: 2021-13-01}\n")
    with pytest.raises(BadInput, match=r"mine\.yml:4: got a date with month must be in 1\.\.12"):
        load_claims(file)


def test_a_fact_names_a_column_of_the_event_table():
    with pytest.raises(ValueError, match="unknown column 'woundd': did you mean wounded"):
        Fact(field="hurt", stated=0, event_id="IQ-20231018-01", column="woundd")
