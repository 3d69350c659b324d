import math

from hinged.lab.reporting.prediction_tables import class_tables, score_table
from hinged.lab.reporting.report_data import read_report_data
from tests.lab.reporting.invented import classes_run, numbers_run


def test_accuracies_are_in_percent_and_means_have_their_interval(tmp_path):
    data = read_report_data(classes_run(tmp_path / "run"))
    table = score_table(data.table, data.predictions)
    assert table.headings == ("activation", "accuracy, %", "balanced accuracy, %", "macro F1, %")
    mean, _, high = data.predictions.scores["relu"]["macro F1"]
    assert table.rows[0][0] == "relu"
    assert table.rows[0][3] == f"{100 * mean:.2f} ± {100 * (high - mean):.2f}"
    [accuracies] = class_tables(data.predictions)
    assert accuracies.headings == ("class", "relu", "hinged")
    share = data.predictions.class_accuracies()["hinged"][1]
    assert accuracies.rows[1][0] == "kind <1>" and accuracies.rows[1][2] == f"{100 * share:.1f}"
    assert accuracies.rows[3] == ("kind <3>", "-", "-")


def test_numbers_keep_four_digits_in_their_unit(tmp_path):
    folder = numbers_run(tmp_path / "run")
    data = read_report_data(folder)
    table = score_table(data.table, data.predictions)
    assert table.headings == ("activation", "R2", "RMSE")
    mean, _, high = data.predictions.scores["relu"]["RMSE"]
    digits = 3 - math.floor(math.log10(mean))
    assert table.rows[0][2] == f"{mean:.{digits}f} ± {high - mean:.{digits}f}"
    assert class_tables(data.predictions) == []


def test_with_many_classes_the_pairs_that_are_confused_most_come_first(tmp_path):
    data = read_report_data(classes_run(tmp_path / "run", classes=30, samples=300)).predictions
    pairs, accuracies = class_tables(data)
    first = data.most_confused()[0]
    assert len(pairs.rows) == 15 and len(accuracies.rows) == 30
    assert pairs.rows[0] == (
        f"{first.true} taken for {first.predicted}",
        *(f"{100 * share:.1f}" for share in first.shares.values()),
    )
