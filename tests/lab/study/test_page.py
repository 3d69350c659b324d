from hinged.lab.study import page
from hinged.lab.study.answer import answer
from hinged.lab.study.build_record import build_record


def test_a_page_shows_question_answer_table_picture_doubts_and_origin(finished):
    found = build_record(finished)
    text = page.study_page("tiny", finished.plan.study, [found])
    assert "**Does the number of hinges matter?**" in text
    assert answer(found).lead in text and "Two blocks are not tried." in text
    assert text.index("](tiny-smoke.svg)") < text.index("| activation | test accuracy, % |")
    assert found.rows[0].data_digest[:12] in text and found.command in text
    assert "- **full**: 20 trainings: 3 combinations of settings, 5 seeds; epochs 1;" in text


def test_a_page_without_a_record_says_how_to_make_one(finished):
    text = page.study_page("tiny", finished.plan.study, [])
    assert "`hinged study run tiny --scale small --record`" in text
    assert "Two blocks are not tried." in text


def test_every_picture_is_named_on_the_page(finished):
    found = build_record(finished)
    text = page.study_page(
        "tiny", finished.plan.study, [found.model_copy(update={"measure": "dead units"})]
    )
    assert "](tiny-smoke.svg)" in text and "](tiny-smoke-epochs.svg)" in text


def test_what_went_wrong_stands_above_the_picture(finished):
    found = build_record(finished).model_copy(update={"missing": 3})
    text = page.study_page("tiny", finished.plan.study, [found])
    assert text.index("**Missing trainings: 3.**") < text.index("](tiny-smoke.svg)")


def test_a_study_without_doubts_has_no_paragraph_about_them(finished):
    study = finished.plan.study.model_copy(update={"unsure": ""})
    assert "cannot show" not in page.study_page("tiny", study, [])
    found = build_record(finished)
    quiet = found.model_copy(update={"unsure": "", "measure": "dead units"})
    assert "What remains unsure" not in page.study_page("tiny", study, [quiet])


def test_details_are_folded(finished):
    text = page.study_page("tiny", finished.plan.study, [build_record(finished)])
    for title in ("Spread and tests", "Parameters and time", "How it was measured"):
        assert f"<summary>{title}</summary>" in text
    assert text.count("<details") == text.count("</details>")
