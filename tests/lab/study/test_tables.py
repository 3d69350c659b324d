import itertools

from hinged.lab.study import tables
from hinged.lab.study.build_record import build_record
from tests.lab.study.helpers import invent_record

SURE = 0.001


def test_rows_of_the_same_setting_stand_under_its_name():
    record = invent_record([(0.018, SURE), (0.03, 0.2)])
    table = tables.results(record)
    assert table.headings == ("activation", "test accuracy, %", "minus ReLU", "p, corrected")
    assert [row.texts[0] for row in table.rows] == [
        *("CNN with 1 block", "ReLU", "curves"),
        *("CNN with 2 blocks", "ReLU", "curves"),
    ]
    assert [row.stands_out for row in table.rows] == [False, False, True] * 2
    assert [row.is_heading for row in table.rows] == [True, False, False] * 2
    plain = [text.replace("\N{NO-BREAK SPACE}", " ") for text in table.rows[5].texts]
    assert plain[2:] == ["+3.00 (+2.90 to +3.10)", "0.200"]


def test_a_single_row_of_a_setting_names_it(finished):
    titles = [row.texts[0] for row in tables.results(build_record(finished)).rows]
    assert titles == ["ReLU", "curves (3 hinges)", "curves (9 hinges)"]


def test_variants_that_are_compared_stand_under_their_point(contenders):
    record = build_record(contenders)
    table = tables.results(record)
    assert table.headings == (
        *("activation", "trained parameters", "test accuracy, %"),
        *("minus curves (head and curves)", "p, corrected"),
    )
    names = (
        "curves (head and curves)",
        "ReLU (head)",
        "ReLU (everything)",
        "curves (everything)",
    )
    assert [row.texts[0] for row in table.rows] == [
        *("100 training samples", *names, "200 training samples", *names)
    ]
    assert {row.texts[1] for row in table.rows} == {"", "10"}
    bold = [row.stands_out for row in table.rows]
    assert bold == [False, True, False, False, True] * 2
    assert "minus the value of curves (head and curves) in the same setting:" in (
        tables.how_to_read(record)
    )


def test_significance_needs_five_pairs():
    record = invent_record([(0.018, SURE)], seeds=4)
    assert tables.how_to_read(record).endswith(
        "A difference is significant if p is below 0.05 and at least five pairs are compared."
    )
    alone = record.model_copy(update={"rows": record.rows[:1]})
    assert tables.how_to_read(alone) == "Larger numbers are better."


def test_each_row_has_a_text_for_each_heading(finished):
    found = build_record(finished)
    other = found.model_copy(update={"measure": "dead units"})
    for record in (found, other):
        for table in (tables.results(record), *tables.details(record)):
            assert {len(row.texts) for row in table.rows} == {len(table.headings)}
    scores = [t.headings for t in tables.details(other)]
    assert "test accuracy" in itertools.chain(*scores)


def test_signs_of_failure_are_a_table_of_shares(finished):
    found = build_record(finished)
    advice = tables.details(found)[-1]
    assert advice.title == "What hinged.diagnose finds" and "few hinges" in advice.headings
    assert [row.texts[0] for row in advice.rows] == ["3 hinges", "9 hinges"]
    quiet = [row.model_copy(update={"advice": {}}) for row in found.rows]
    titles = [t.title for t in tables.details(found.model_copy(update={"rows": quiet}))]
    assert titles == ["Spread and tests", "Parameters and time"]


def test_the_heading_names_a_reference_that_all_rows_share():
    record = invent_record([(0.018, SURE), (0.03, 0.2)])
    first, _, second, fourth = record.rows
    shared = fourth.versus.model_copy(update={"label": first.title})
    rows = [first, second.model_copy(update={"versus": shared}), fourth]
    rows[2] = fourth.model_copy(update={"versus": shared})
    record = record.model_copy(update={"rows": rows})
    assert tables.results(record).headings[2] == "minus ReLU (CNN with 1 block)"


def test_how_to_read_says_what_is_subtracted():
    record = invent_record([(0.018, SURE), (0.03, 0.2)])
    assert "minus the value of ReLU in the same setting:" in tables.how_to_read(record)
    costs = invent_record([(0.018, SURE)], measure="step_ms")
    assert tables.how_to_read(costs).startswith("Smaller numbers are better.")
