"""How the record of a study was measured, in sentences."""

from __future__ import annotations

from hinged.lab.reporting import terminal
from hinged.lab.reporting.origin_text import origin_text
from hinged.lab.study.record import StudyRecord


def origin(record: StudyRecord) -> str:
    """Return sentences about how a record was measured, with the command to repeat the study."""
    data = dict.fromkeys(f"{row.data} ({row.data_digest[:12]})" for row in record.rows)
    commits = sorted({each["commit"] for each in record.environments})
    measured = origin_text(record.environments[0], made=record.made, commits=commits)
    return (
        f"Data, with the beginning of their hash: {', '.join(data)}. Measured {measured}, in "
        f"{record.seconds:,.0f} s of training in {_precisions(record)}."
        f"{_pretrainings(record)}{_tuning(record)} Command: `{record.command}`."
    )


def _precisions(record: StudyRecord) -> str:
    return " and ".join(sorted({cell["training"]["precision"] for cell in record.cells.values()}))


def _pretrainings(record: StudyRecord) -> str:
    """Return a sentence about the pretrainings of a study, with a space before it.

    The text is empty if the study has no pretrainings.
    """
    phrases = []
    for kind, result in record.pretrainings.items():
        score = terminal.format_score(result.test_score, result.metric) + " %" * record.in_percent
        phrases.append(
            f"{kind} on {result.experiment['data']} to {score} ({result.seconds:,.0f} s)"
        )
    if not phrases:
        return ""
    return f" Pretrained first, to this test {record.metric}: {', '.join(phrases)}."


def _tuning(record: StudyRecord) -> str:
    """Return a sentence about the trainings that tuned settings, with a space before it."""
    tuned = [each for cell in record.tuning.values() for each in cell]
    count = sum(len(tried.scores) for each in tuned for tried in each.tried)
    if not count:
        return ""
    return f" Tuned first, by {count:,} trainings in {record.tuning_seconds:,.0f} s."
