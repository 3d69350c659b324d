from hinged.lab.study import page
from hinged.lab.study.answer import answer_sentence
from hinged.lab.study.build_record import build_record


def test_a_page_shows_question_answer_table_picture_doubts_and_origin(finished):
    found = build_record(finished)
    text = page.study_page("tiny", finished.plan.study, [found])
    assert "**Does the number of hinges matter?**" in text
    assert answer_sentence(found) in text and page.record_table(found) in text
    assert "](tiny-smoke.svg)" in text and "Two blocks are not tried." in text
    assert found.rows[0].data_digest[:12] in text and found.command in text
    assert "| full | 3 | 20 | 1 |" in text


def test_a_page_without_a_record_says_how_to_make_one(finished):
    text = page.study_page("tiny", finished.plan.study, [])
    assert "`hinged study run tiny --scale small --record`" in text
    assert "Two blocks are not tried." in text


def test_the_score_stands_beside_another_measure(finished):
    found = build_record(finished)
    other = found.model_copy(update={"measure": "dead units"})
    assert "test accuracy" in page.headings(other)
    for each in (found, other):
        assert {len(page.row_texts(each, row)) for row in each.rows} == {len(page.headings(each))}


def test_every_picture_is_named_on_the_page(finished):
    found = build_record(finished)
    text = page.study_page(
        "tiny", finished.plan.study, [found.model_copy(update={"measure": "dead"})]
    )
    assert "](tiny-smoke.svg)" in text and "](tiny-smoke-epochs.svg)" in text


def test_the_saving_stands_below_the_answer(finished, monkeypatch):
    found = build_record(finished)
    monkeypatch.setattr(page, "width_saving_sentence", lambda record: "Half the filters.")
    assert "\n\nHalf the filters.\n\n" in page.study_page("tiny", finished.plan.study, [found])


def test_signs_of_failure_are_a_table_of_shares(finished):
    found = build_record(finished)
    text = page.study_page("tiny", finished.plan.study, [found])
    assert "| few hinges |" in text and "| hinged (hinges 3) |" in text
    quiet = [row.model_copy(update={"advice": {}}) for row in found.rows]
    assert page.advice_table(found.model_copy(update={"rows": quiet})) == []
