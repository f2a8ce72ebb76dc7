"""Tables and sentences: numbers as readers want them, and data that is text and never markup."""

import datetime
import json
import re
from html.parser import HTMLParser

import pytest
from worlds import coverage_row, event_row, write

from analysis_lib import Finding, Window, evaluate, load_tables, tables
from analysis_lib.finding import number
from analysis_lib.tables import Link, Table, Text, badge, finding_table


@pytest.fixture(scope="module")
def pause(tables_and_registry):
    data, registry = tables_and_registry
    return evaluate(registry["pause-2021"], data, registry)


@pytest.fixture(scope="module")
def tables_and_registry(request):
    """The bundled tables and registry (the module `tables` is tested here, hence the other name)."""
    return request.getfixturevalue("tables"), request.getfixturevalue("registry")


class Page(HTMLParser):
    """What a browser would see: tags, attributes, links, text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.links, self.words = [], set(), [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value for name, value in attrs if name == "href"]

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


# ---- hostile text ----------------------------------------------------------------------------------------------------

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "handler": '"><img src=x onerror=alert(1)>',
    "attribute": "' onmouseover='alert(1)",
    "entity": "&lt;b&gt; & <b>",
    "escape": "red \x1b[31m text\x1b[0m",
    "newline": "first line\nsecond line\rthird",
    "override": "abc\u202edef",
    "markdown": "[x](javascript:alert(1)) $\\href{javascript:1}{y}$",
}
HARMLESS = {"table", "thead", "tbody", "tr", "th", "td", "caption", "div", "details", "summary", "p", "a"}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize(
    "shown",
    [
        lambda text: Table(("column",), ((text,), ((text, text),)), caption=text),
        lambda text: Text((text, text)),
        lambda text: Table(("column",), ((Link(text, text),), (Link(text, "https://example.org/" + text),))),
        lambda text: finding_table([Finding(text, text, reason=text), Finding("q", text, notes=(text,))], caption=text),
    ],
    ids=["table", "text", "links", "findings"],
)
def test_hostile_text_is_shown_as_text_in_both_forms(shown, text):
    page = Page(shown(text)._repr_html_())
    assert set(page.tags) <= HARMLESS
    assert not any(name.startswith("on") or name in ("src", "style") for name in page.attributes)
    assert all(link.startswith("https://example.org/") for link in page.links)
    for form in (repr(shown(text)), shown(text)._repr_html_()):
        assert "\x1b" not in form
        assert "\u202e" not in form
    visible = re.sub(r"\\[nr]", " ", page.text)  # a line break is shown as \n
    assert text.split("\n")[0].split("\x1b")[0].split("\u202e")[0] in visible


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JAVASCRIPT:alert(1)",
        " javascript:alert(1)",
        "data:text/html,x",
        "file:///etc",
        "//x.org",
        "uncited",
    ],
)
def test_only_web_addresses_become_links(url):
    assert Page(Link("[1]", url).html()).links == []
    assert str(Link("[1]", url)) == "[1]"


def test_a_web_address_is_a_link_that_gives_nothing_away():
    html = Link("[1]", 'https://example.org/a?b=1&c="2"').html()
    assert Page(html).links == ['https://example.org/a?b=1&c="2"']
    assert 'rel="noreferrer nofollow"' in html


def test_a_line_break_in_a_cell_does_not_break_the_row():
    assert len(repr(Table(("a", "b"), (("x\ny", "z"),))).splitlines()) == 2


def test_hostile_rows_of_the_event_table_stay_text(tmp_path, registry):
    """From events.csv through the whole study to the table of events."""
    rows = [event_row(f"2021-05-{day:02d}", day, location=HOSTILE["handler"]) for day in range(1, 10)]
    alone = registry["pause-2021"].model_copy(update={"variations": (), "replications": (), "rivals": ()})
    study = evaluate(alone, load_tables(write(tmp_path, rows)), registry)
    page = Page(tables.event_table(study)._repr_html_())
    assert set(page.tags) <= HARMLESS
    assert HOSTILE["handler"] in page.text
    assert len(page.links) == len(rows)


# ---- form ------------------------------------------------------------------------------------------------------------


def test_columns_line_up_and_numbers_have_three_digits():
    table = Table(("name", "p"), (("a long name", 0.86942), ("b", None), ("c", float("inf")), ("d", 12)))
    assert repr(table).splitlines() == [
        "name         p", "a long name  0.869", "b            –", "c            ∞", "d            12",
    ]  # fmt: skip


def test_the_html_form_holds_the_same_cells_under_headed_columns():
    table = Table(("name", "p"), (("a", 0.86942), ("b", None)), caption="A caption")
    page = Page(table._repr_html_())
    assert page.words == ["A caption", "name", "p", "a", "0.869", "b", "–"]
    assert page.tags.count("th") == 4  # a name over each column and before each row
    assert table._repr_html_().count('scope="col"') == table._repr_html_().count('scope="row"') == 2
    assert 'aria-label="A caption"' in table._repr_html_()


@pytest.mark.parametrize(("rows", "folded"), [(20, False), (21, True)])
def test_a_long_table_is_folded_in_html_and_whole_in_text(rows, folded):
    table = Table(("n",), tuple((i,) for i in range(rows)))
    assert ("details" in Page(table._repr_html_()).tags) is folded
    assert len(repr(table).splitlines()) == rows + 1


@pytest.mark.parametrize("word", ["supported", "contradicted", "not distinguishable", "not testable"])
def test_a_verdict_has_a_symbol_and_its_word(word):
    assert badge(word).endswith(f" {word}")
    assert len({badge(w)[0] for w in ("supported", "contradicted", "not distinguishable", "not testable")}) == 4


def test_a_finding_is_a_row_of_its_own_numbers():
    found = Finding(
        "rate_ratio", "exact", estimate=1.708, low=0.029, high=32.84, p_value=0.8694, attainable_p=0.463, n=3
    )
    ((*cells,),) = finding_table([found]).rows
    assert [cells[0], cells[2], cells[-1]] == ["rate ratio", "0.029 to 32.8", "exact"]
    assert cells[1:2] + cells[3:6] == [1.708, 0.8694, 0.463, 3]
    assert finding_table([Finding("q", "m", reason="no event")]).rows[0][-1] == "no event"


# ---- one study -------------------------------------------------------------------------------------------------------


def test_the_card_shows_both_verdicts_now_and_then_and_never_a_motive(pause):
    card = tables.verdict_card(pause)
    assert [row[1] for row in card.rows] == ["✗ contradicted", "∅ not testable", "not testable"]
    assert [row[2] for row in card.rows] == ["✗ contradicted", "∅ not testable", "not testable"]
    assert "0.463" in card.rows[1][3]
    assert "2021-06-05" in card.columns[2]


def test_the_summary_is_the_registrys_statement_and_the_headline(pause):
    words = repr(tables.summary(pause))
    assert pause.claim.statement in words
    assert "Headline: ∅ not testable." in words


def test_the_evidence_has_one_row_for_each_event_counted(pause):
    table = tables.event_table(pause)
    assert [(row[0], row[1], row[7]) for row in table.rows] == [
        ("2021-04-14", "outside", "IQ-20210414-03"),
        ("2021-05-08", "outside", "IQ-20210508-01"),
        ("2021-05-11", "inside", "IQ-20210511-03"),
    ]
    assert len(table.rows) == pause.primary.n
    assert all(link.url.startswith("http") for row in table.rows for link in row[-1])


def test_every_fact_has_a_row(pause):
    table = tables.fact_table(pause)
    assert len(table.rows) == len(pause.claim.facts)
    assert table.rows[0][:5] == ("drone attacks during the war, 10 to 21 May 2021", "0", "equal", "1", "no")


def test_findings_by_role_are_all_there(pause):
    roles = ("primary", "randomisation", "robustness", "leave_one_out", "date_shift", "shown", "check")
    shown = [row[0] for role in roles for row in tables.findings_of(pause, role).rows]
    assert sorted(shown) == sorted(f.quantity.replace("_", " ") for f in pause.now.findings)
    assert tables.findings_of(pause, "primary").rows[0][3] == pytest.approx(0.869, abs=5e-4)


def test_every_specification_has_a_row_with_its_verdict(pause):
    table = tables.outcome_table(pause.variations)
    assert [row[1] for row in table.rows] == [v.label for v in pause.claim.variations]
    assert [row[-2] for row in table.rows] == [badge(o.verdict.verdict) for o in pause.variations]


def test_every_rival_has_a_row_and_a_finding_where_the_data_can_separate_it(pause):
    table = tables.rival_table(pause)
    assert [row[0] for row in table.rows] == [r.explanation for r in pause.claim.rivals]
    assert [row[2] is not None for row in table.rows] == [bool(r.set) for r in pause.claim.rivals]


def test_the_robustness_line_names_the_choice_that_flips(pause):
    line = repr(tables.robustness_line(pause))
    assert line.startswith("A single other choice flips the verdict, ∅ not testable: weapons: convoy bombs (≈ not dist")
    assert "95 % of 19 specifications" in line
    assert "no probability" in line


def test_the_curve_says_what_it_is_not_and_what_was_drawn(pause):
    words, curve = repr(tables.curve_words(pause)), pause.curve
    assert (
        f"{len(curve.table)} specifications of the {curve.possible} combinations, drawn with seed {curve.seed}" in words
    )
    assert "upper bound" in words
    assert "no probability" in words
    for found in curve.findings():
        assert f"{number(found.estimate)}, one-sided p = {number(found.p_value)}" in words
        assert f"beside {found.draws} circular shifts" in words
    shares = tables.curve_shares(pause)
    assert shares.rows[0][0] == "as registered"
    assert sum(row[1] for row in shares.rows) == len(curve.table)


def test_what_would_change_our_mind_names_events_power_and_limits(pause):
    words = repr(tables.change_of_mind(pause))
    assert "12; there are 3" in words  # 41/53 to the 12th is the first power below 0.05
    assert "1.36e-06" in words
    assert "No effect of any size" in words
    assert "0.029 to 32.8" in words
    assert "created where the window is seen more than 21.8 times as completely" in words
    assert all(limit in words for limit in pause.claim.limits)


def test_how_to_reproduce_is_a_command_with_all_that_was_set(tables_and_registry):
    data, registry = tables_and_registry
    alone = registry["pause-2021"].model_copy(update={"variations": (), "replications": (), "rivals": ()})
    study = evaluate(alone, data, registry, seed=5, knobs={"unit": "attack_day", "weapons": ["drone", "rocket"]})
    shown = tables.how_to_reproduce(study)
    assert repr(shown).splitlines()[0] == (
        "claims reproduce pause-2021 --set unit=attack_day --set weapons=[drone,rocket] --seed 5"
    )
    assert data.data_sha256[:12] in repr(shown)


def test_the_published_record_travels_with_the_text(pause):
    bundle = tables.how_to_reproduce(pause)._repr_mimebundle_()
    assert json.loads(json.dumps(bundle[tables.STUDY_MIME])) == pause.record()
    assert {"text/plain", "text/html"} <= bundle.keys()


def test_a_study_without_a_sample_says_why(tables_and_registry):
    data, registry = tables_and_registry
    alone = registry["pause-2021"].model_copy(update={"variations": (), "replications": (), "rivals": ()})
    study = evaluate(alone, data, registry, as_of=datetime.date(2021, 5, 1))
    assert "not yet observed" in repr(tables.event_table(study))
    assert "not yet observed" in repr(tables.verdict_card(study))
    assert "not computed" in study.primary.sentence() or study.primary.reason
    assert "No other specification" in repr(tables.robustness_line(study))
    assert "There is no curve. Not yet observed" in repr(tables.curve_words(study))
    assert "not yet observed" in repr(tables.curve_shares(study))


def test_a_blank_first_report_is_a_dash_and_no_word_of_the_library(tmp_path, registry):
    rows = [event_row("2021-05-11", first_reported=""), event_row("2021-05-12", 2)]
    alone = registry["pause-2021"].model_copy(update={"variations": (), "replications": (), "rivals": ()})
    table = tables.event_table(evaluate(alone, load_tables(write(tmp_path, rows)), registry))
    assert "NaT" not in repr(table)
    assert repr(table).splitlines()[1].split()[6] == "–"


def test_events_on_days_that_nobody_watched_are_shown_as_such_and_not_counted(tmp_path, registry):
    days = ("2021-04-20", "2021-04-27", "2021-05-11", "2021-05-30")
    spans = [Window(datetime.date(2021, 1, 1), datetime.date(2021, 4, 25)),
             Window(datetime.date(2021, 5, 1), datetime.date(2021, 12, 31))]  # fmt: skip
    rows, covered = [event_row(day, n) for n, day in enumerate(days, 1)], [coverage_row(span) for span in spans]
    alone = registry["pause-2021"].model_copy(update={"variations": (), "replications": (), "rivals": ()})
    study = evaluate(alone, load_tables(write(tmp_path, rows, coverage=covered)), registry)
    assert [row[1] for row in tables.event_table(study).rows] == ["outside", "day not watched", "inside", "outside"]
    assert study.primary.n == study.finding("leave_one_out").n == 3


def test_the_list_of_claims_has_a_row_for_each(registry):
    lines = tables.claims_markdown(registry).splitlines()
    assert len(lines) == 2 + len(registry.claims)
    assert all(line.count("|") == 6 for line in lines)
