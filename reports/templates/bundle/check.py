"""A second implementation of one claim's numbers: plain Python, no packages, no code of the project.

    python check.py              the rows beside this file; ends in MATCH or MISMATCH
    python check.py FOLDER       other tables of the same layout, such as the project's whole data folder

It reads expected.json (what was asked and what was published) and the tables, chooses the rows, counts, tests, and
compares. Counts and dates must be the same; other numbers may differ by 1e-6 of their size, since the last digits of
a floating-point number depend on the order of the sums. Exit code: 0 MATCH, 3 MISMATCH, 4 CANNOT RUN.
"""

import csv
import hashlib
import json
import os
import sys
from datetime import date, timedelta
from fractions import Fraction
from math import comb, exp, inf, lgamma, log, prod, sqrt
from statistics import NormalDist

HERE = os.path.dirname(os.path.abspath(__file__))
TOLERANCE = 1e-6
RANKS = ["high", "medium", "low"]  # of confidence
GROUPS = {"us_sites": ["us_sites"], "us_interests": ["us_sites", "convoys"], "launch_or_target": ["us_sites"]}
COUNTRY = {"iraq": "IQ", "syria": "SY", "jordan": "JO", "israel_gaza": "PS", "israel_lebanon": "LB", "yemen_gulf": "YE"}
BASES = ["Erbil International Airport", "Ain al-Asad air base"]
FACTIONS = {"Kataib Hezbollah", "Asaib Ahl al-Haq", "Harakat al-Nujaba"}


# ---- rows ------------------------------------------------------------------------------------------------------------


def day(text):
    return date.fromisoformat(text) if text else None


def read(folder, name):
    path = os.path.join(folder, name + ".csv")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def known_on(last, events, coverage, windows):
    """What was public on the day `last` (None: everything), by first report; spans are cut there."""
    events = [dict(row, day=day(row["date"])) for row in events]
    spans = [[dict(row, start=day(row["start"]), end=day(row["end"])) for row in rows] for rows in (coverage, windows)]
    if last:
        events = [row for row in events if (day(row["first_reported"]) or row["day"]) <= last]
        spans = [[dict(row, end=row["end"] and min(row["end"], last)) for row in rows if row["start"] <= last]
                 for rows in spans]
    there = {row["event_id"] for row in events}
    for row in events:  # nobody could call a row a second report of one that was not yet public
        row["second"] = row["possible_duplicate_of"] if not last or row["possible_duplicate_of"] in there else ""
    return events, *spans


def selected(events, who):
    """The rows that a population counts, by date: the first row stands for a site's night or for a day."""
    ranks = RANKS[: RANKS.index(who["confidence"]) + 1]
    keys = {"attack": ["event_id"], "site_night": ["date", "location"], "attack_day": ["date"]}[who["unit"]]
    found = {}
    for row in sorted(events, key=lambda row: (row["date"], row["event_id"])):
        near, ours = row["theatre"] in who["theatres"], row["us_target"] == "yes"
        if who["sites"] == "us_interests":
            hit = near and (ours or row["target_class"] == "logistics_convoy")
        else:
            hit = near and (ours or who["sites"] == "any")
        if who["sites"] == "launch_or_target" and row["bloc"] == "iran_aligned":
            hit = hit or bool({COUNTRY.get(name) for name in who["theatres"]} & set(row["launch_from"].split("|")))
        weapons = set(row["weapons"].split(";"))
        if (
            hit
            and row["confidence"] in ranks
            and row["date_precision"] in who["date_precision"]
            and (who["duplicates"] or not row["second"])
            and ("all" in who["weapons"] or weapons & set(who["weapons"]))
            and who["bloc"] in (None, row["bloc"])
        ):
            found.setdefault(tuple(row[key] for key in keys), row)
    return list(found.values())


def days_of(start, end):
    return {start + timedelta(n) for n in range((end - start).days + 1)}


def watched(coverage, who, days, events=()):
    """The days on which every theatre and group counted was watched; of samples, those between their first and last."""
    kept = set(days)
    for theatre in who["theatres"]:
        rows = [row for row in coverage if row["theatre"] == theatre]
        for group in GROUPS.get(who["sites"]) or {row["target_group"] for row in rows} or {"all"}:
            spans = [row for row in rows if row["target_group"] in (group, "all") and row["level"] != "sample"]
            kept &= set().union(*(days_of(row["start"], row["end"]) for row in spans))
    samples = [row for row in coverage if row["theatre"] in who["theatres"] and row["level"] == "sample"]
    if events and samples:
        sampled = set().union(*(days_of(row["start"], row["end"]) for row in samples)) & set(days)
        dates = [row["day"] for row in events if row["day"] in kept | sampled]
        if dates and sampled:
            kept = {d for d in kept | sampled if min(dates) <= d <= max(dates)}
    return kept


# ---- outcomes: True, False, or None where the row does not tell ------------------------------------------------------


def some(row, *columns):
    return any(row[name] and float(row[name]) > 0 for name in columns)


def none(row, *columns):
    """Is one of these numbers known to be 0?"""
    return any(row[name] and float(row[name]) == 0 for name in columns)


def decided(lacks, has):
    return False if lacks else True if has else None


def unclaimed(row):
    return row["claimed_by"] == "" and row["attribution"] != "claimed"


def reached_israel(row):
    hurt = some(row, "killed", "wounded") or row["damage"] in ("minor", "major")
    return decided(row["intercepted"] == "all" and not hurt, hurt or row["intercepted"] in ("some", "none"))


OUTCOMES = {  # name: (the rows that it concerns, the outcome, does it rest on claims that may still come in)
    "any_casualty": (None, lambda r: decided(none(r, "killed") and none(r, "wounded"), some(r, "killed", "wounded")), 0),
    "us_casualty": (None, lambda r: decided(none(r, "us_killed", "killed") and none(r, "us_wounded", "wounded"),
                                            some(r, "us_killed", "us_wounded")), 0),
    "serious_effect": (None, lambda r: decided(none(r, "us_killed", "killed") and r["damage"] in ("none", "minor"),
                                               some(r, "us_killed") or r["damage"] == "major"), 0),
    "intercepted": (None, lambda r: decided(r["intercepted"] == "none", r["intercepted"] in ("all", "some")), 0),
    "reached_israel": (lambda r: "IQ" in r["launch_from"], reached_israel, 0),
    "main_bases": (None, lambda r: r["location"] in BASES, 0),
    "unclaimed": (None, unclaimed, 1),
    "no_parent_claim": (lambda r: r["actor"] not in ("irgc", "iran_navy"),
                        lambda r: decided(bool(FACTIONS & set(r["claimed_by"].split(";"))),
                                          r["claimed_by"] != "" or r["attribution"] != "claimed"), 1),
    "untraced": (None, lambda r: unclaimed(r) and r["attribution"] != "attributed", 1),
    "officially_attributed": (unclaimed, lambda r: r["attribution"] == "attributed", 1),
    "attributed_iran_aligned": (unclaimed, lambda r: r["bloc"] == "iran_aligned"
                                and r["attribution"] in ("attributed", "suspected"), 1),
}


# ---- exact tests -----------------------------------------------------------------------------------------------------


def p_of(less, greater, alternative):
    return float({"less": less, "greater": greater, "two-sided": min(1, 2 * min(less, greater))}[alternative])


def binomial_p(x, n, share, alternative):
    """Exact: whole numbers only, over one common denominator."""
    a, b = share.numerator, share.denominator - share.numerator
    ways = [comb(n, k) * a**k * b ** (n - k) for k in range(n + 1)]
    return p_of(Fraction(sum(ways[: x + 1]), sum(ways)), Fraction(sum(ways[x:]), sum(ways)), alternative)


def fisher_p(x1, n1, x0, n0, alternative):
    """Exact: every way to deal the x1 + x0 outcomes to the two groups."""
    ways = [comb(n1, k) * comb(n0, x1 + x0 - k) if k <= x1 + x0 else 0 for k in range(n1 + 1)]
    return p_of(Fraction(sum(ways[: x1 + 1]), sum(ways)), Fraction(sum(ways[x1:]), sum(ways)), alternative)


def poisson(ks, mean):
    """P(X in ks) of a Poisson count; each tail is summed itself, since 1 - p loses small ones."""
    return sum(exp(k * log(mean) - mean - lgamma(k + 1)) for k in ks)


def solve(rising, low, high):
    """Where a rising function meets 0, by halving."""
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2


def clopper_pearson(x, n, tail=0.025):
    def beyond(p, ks):
        return sum(exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(p) + (n - k) * log(1 - p))
                   for k in ks)

    low = solve(lambda p: beyond(p, range(x, n + 1)) - tail, 1e-12, 1 - 1e-12) if x else 0.0
    high = solve(lambda p: tail - beyond(p, range(x + 1)), 1e-12, 1 - 1e-12) if x < n else 1.0
    return low, high


def wilson(x, n):
    z = NormalDist().inv_cdf(0.975)
    middle, half = x + z * z / 2, z * sqrt(x * (n - x) / n + z * z / 4)
    return (middle - half) / (n + z * z), (middle + half) / (n + z * z)


# ---- the primary tests: estimate, interval, p, n ---------------------------------------------------------------------


def rate_ratio(told, events, coverage, windows):
    """Attacks a watched day inside the window over those outside it, given their sum."""
    spec = told["spec"]
    frame = days_of(*span(spec, "frame", told))
    seen, window = watched(coverage, spec, frame), days_of(*span(spec, "window", told)) & frame
    dates = [row["day"] for row in selected(events, spec) if row["day"] in seen]
    x1, t1 = sum(d in window for d in dates), len(seen & window)
    x0, t0 = len(dates) - x1, len(seen - window)
    low, high = clopper_pearson(x1, x1 + x0) if dates else (0.0, 1.0)
    ratio = lambda p: p / (1 - p) * t0 / t1 if p < 1 else inf  # noqa: E731
    p = binomial_p(x1, x1 + x0, Fraction(t1, t1 + t0), told["rule"]["direction"])
    return {"estimate": x1 / t1 / (x0 / t0) if x0 else None, "low": ratio(low), "high": ratio(high), "p_value": p,
            "n": x1 + x0, "exposure": float(t1 + t0)}


def outcomes_of(told, who, events):
    """Each attack's outcome as 1, 0 or None; of a site's night or a day the strongest."""
    spec = told["spec"]
    concerns, outcome, claims = OUTCOMES[spec["outcome"]]
    first, last = span(spec, "frame", told)
    found = {}
    for row in selected(events, dict(who, unit="attack")):
        if not first <= row["day"] <= last or (concerns and not concerns(row)):
            continue
        value = outcome(row)
        if claims and told["as_of"] and row["day"] > day(told["as_of"]) - timedelta(30):
            value = None  # a claim may still come
        key = {"attack": row["event_id"], "site_night": (row["date"], row["location"]), "attack_day": row["date"]}
        rank = {False: 0, None: 1, True: 2}
        key = key[who["unit"]]
        if key not in found or rank[value] >= rank[found[key][1]]:
            found[key] = row["event_id"], value
    unknown = {"left_out": None, "no": False, "yes": True}[spec["missing_as"]]
    return {name: unknown if value is None else value for name, value in found.values()}


def share(told, events, coverage, windows):
    """The share of attacks with the outcome beside the share that the rule names."""
    rule, spec = told["rule"], told["spec"]
    known = [value for value in outcomes_of(told, spec, events).values() if value is not None]
    x, n, same = sum(known), len(known), rule["form"] == "equivalence"
    against, side = (spec["threshold"] + rule["sesoi"], "less") if same else (spec["threshold"], rule["direction"])
    low, high = clopper_pearson(x, n)
    return {"estimate": x / n, "low": low, "high": high, "p_value": binomial_p(x, n, Fraction(against), side), "n": n}


def difference(x1, n1, x0, n0, side):
    gap, (l1, u1), (l0, u0) = x1 / n1 - x0 / n0, wilson(x1, n1), wilson(x0, n0)
    low = gap - sqrt((x1 / n1 - l1) ** 2 + (u0 - x0 / n0) ** 2)
    high = gap + sqrt((u1 - x1 / n1) ** 2 + (x0 / n0 - l0) ** 2)
    return {"estimate": gap, "low": low, "high": high, "p_value": fisher_p(x1, n1, x0, n0, side), "n": n1 + n0}


def share_difference(told, events, coverage, windows):
    """The share in one population less that in another; an attack of both is left out."""
    one, two = (outcomes_of(told, who, events) for who in (told["spec"], told["spec"]["against"]))
    first, second = ([v for k, v in a.items() if k not in b and v is not None] for a, b in ((one, two), (two, one)))
    return difference(sum(first), len(first), sum(second), len(second), told["rule"]["direction"])


def onset_shares(told, events, coverage, windows):
    """Of the attacks around the last and the first start of trigger days, the share that falls after the start."""
    spec, marked = told["spec"], set()
    frame, reach = days_of(*span(spec, "frame", told)), timedelta(spec["horizon_days"])
    for row in windows:
        for column, allowed in (("theatre", spec["trigger_theatres"]), ("window_id", spec["trigger_ids"])):
            if allowed is not None and row[column] not in allowed:
                break
        else:
            if row["kind"] == spec["trigger_kind"]:
                still = row["kind"] in told["open_kinds"] and row["start"] <= day(told["last_day"])
                marked |= days_of(row["start"], row["end"] or (day(told["last_day"]) if still else row["start"]))
    starts = sorted(d for d in marked & frame if d - timedelta(1) not in marked & frame)
    dates = [row["day"] for row in selected(events, spec) if row["day"] in frame]
    (before, after), (before2, after2) = (
        (sum(s - reach <= d < s for d in dates), sum(s <= d < s + reach for d in dates)) for s in (starts[0], starts[-1]))
    return difference(after2, before2 + after2, after, before + after, told["rule"]["direction"])


def multi_site_days(told, events, coverage, windows):
    """Days with several sites hit over those expected if each site's nights lay anywhere in their month."""
    spec, margin = told["spec"], told["rule"]["sesoi"]
    frame, rows = days_of(*span(spec, "frame", told)), selected(events, spec)
    seen = watched(coverage, spec, frame, [row for row in rows if row["day"] in frame])
    rows = [row for row in rows if row["day"] in seen]
    hit, expected = {}, 0.0
    for row in rows:
        hit.setdefault(row["day"], set()).add(row["location"])
    for month in {(d.year, d.month) for d in hit}:
        size = sum((d.year, d.month) == month for d in seen)
        sites = [site for d, there in hit.items() if (d.year, d.month) == month for site in there]
        p = [sites.count(site) / size for site in set(sites)]
        alone = sum(q * prod(1 - r for j, r in enumerate(p) if j != i) for i, q in enumerate(p))
        expected += size * (1 - prod(1 - q for q in p) - alone)
    count = sum(len(there) > 1 for there in hit.values())
    most, least = range(count, 10 * count + 100), range(count + 1)
    p = max(poisson(most, expected / margin), poisson(least, expected * margin))
    low = solve(lambda mean: poisson(most, mean) - 0.025, 1e-9, count + 1e-9) if count else 0.0
    high = solve(lambda mean: 0.025 - poisson(least, mean), count + 1e-9, 5 * count + 50)
    return {"estimate": count / expected, "low": low / expected, "high": high / expected, "p_value": p, "n": len(rows)}


PRIMARY = {"rate_ratio": rate_ratio, "share": share, "share_difference": share_difference,
           "onset_shares": onset_shares, "multi_site_days": multi_site_days}


def span(of, name, told):
    """First and last day of a period, cut where nothing was known yet."""
    start, end = day(of[name + "_start"]), day(of[name + "_end"])
    return start, min(end, day(told["as_of"])) if told["as_of"] else end


# ---- the statements of the text beside the rows ----------------------------------------------------------------------


def coded(fact, told, events, coverage):
    """The value that the rows give for one statement; None where they give none."""
    last = day(told["as_of"])
    if last and fact["known_from"] and day(fact["known_from"]) > last:
        return None
    if fact["event_id"]:
        cells = [row[fact["column"]] for row in events if row["event_id"] == fact["event_id"]] or [""]
        return cells[0] or None
    start, end = day(fact["start"]), day(fact["end"])
    end = min(end, last) if last else end
    if end < start or not watched(coverage, fact["population"], days_of(start, end)):
        return None
    rows = [row for row in selected(events, fact["population"]) if start <= row["day"] <= end]
    days, fired = [row["day"] for row in rows], [row["munitions"] for row in rows]
    edges = [start, *days, end + timedelta(1)]
    if fact["measure"] == "attacks" or not rows:
        return len(rows) if fact["measure"] == "attacks" else None
    return {
        "munitions": None if "" in fired else sum(map(int, fired)),
        "first_date": str(days[0]),
        "last_date": str(days[-1]),
        "days_since_last": (end - days[-1]).days,
        "longest_gap_days": max((b - a).days for a, b in zip(edges, edges[1:])),
    }[fact["measure"]]


# ---- compare ---------------------------------------------------------------------------------------------------------


def same(expected, found):
    if isinstance(expected, float) and isinstance(found, float):
        return abs(expected - found) <= TOLERANCE * max(abs(expected), abs(found))
    if isinstance(expected, (int, float)) and isinstance(found, str):
        found = float(found)
    return expected == found


def compared(told, folder):
    """(name, expected, found) of every number."""
    events, coverage, windows = known_on(day(told["as_of"]), *(read(folder, n) for n in ("events", "coverage", "windows")))
    if told["primary"]:
        found = PRIMARY[told["spec"]["test"]](told, events, coverage, windows)
        for name, value in found.items():
            yield name.replace("_", " "), told["primary"][name], None if value == inf else value
    for fact in told["facts"]:
        yield fact["field"], fact["coded"], coded(fact, told, events, coverage)


def sha256_of(path):
    if not os.path.exists(path):
        return None
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def main():
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with open(os.path.join(HERE, "expected.json"), encoding="utf-8") as file:
            told = json.load(file)
    except (OSError, ValueError) as error:
        print("CANNOT RUN: expected.json beside this file cannot be read:", type(error).__name__)
        return 4
    folder, wrong, lines = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "data"), 0, 0
    if len(sys.argv) == 1:
        for name, digest in told["files"].items():
            if sha256_of(os.path.join(HERE, *name.split("/"))) != digest:
                print(name + ": not the file that was put into this archive")
                wrong += 1
    try:
        for name, expected, found in compared(told, folder):
            good, lines = same(expected, found), lines + 1
            wrong += not good
            shown = "".join(c if c.isprintable() else "?" for c in name)
            print("%-10s %s: published %r, counted here %r" % ("same" if good else "DIFFERENT", shown, expected, found))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        print("the rows cannot be counted:", type(error).__name__, ascii(str(error)))
        wrong += 1
    print("%s: %d of %d numbers or files differ" % ("MISMATCH", wrong, lines + len(told["files"])) if wrong
          else "MATCH: %d numbers of %s" % (lines, told["claim"]))
    return 3 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
