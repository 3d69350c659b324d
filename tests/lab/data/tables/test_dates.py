import numpy as np
import pytest

from hinged.lab.data.tables.dates import date_parts, date_readings, to_dates

pyarrow = pytest.importorskip("pyarrow")


def days(*texts):
    return np.array(texts, "datetime64[s]")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["2024-01-31", "2024-12-1"], days("2024-01-31", "2024-12-01")),
        (["2024/01/31", "2024/02/01"], days("2024-01-31", "2024-02-01")),
        (["01.02.2024", "31.12.2024"], days("2024-02-01", "2024-12-31")),
        (["12/31/2024", "01/02/2024"], days("2024-12-31", "2024-01-02")),
        (["31/12/2024", "01/02/2024"], days("2024-12-31", "2024-02-01")),
        (["2024-01-31 10:30"], days("2024-01-31T10:30")),
        (["2024-01-31T10:30:05"], days("2024-01-31T10:30:05")),
    ],
)
def test_dates_with_one_reading(texts, expected):
    (found,) = date_readings(texts)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("texts", "readings"),
    [
        (["01/02/2024", "03/04/2024"], 2),
        (["02/02/2024"], 1),
        (["12/31/2024", "31/12/2024"], 0),
        (["2024-13-01"], 0),
        (["30.02.2024"], 0),
        (["2023-02-29 10:00", "2023-02-28 10:00"], 0),
        (["NA", ""], 0),
        (["1.2.3"], 0),
        (["2024-01-01", "red"], 0),
        ([], 0),
    ],
)
def test_texts_with_several_readings_or_none(texts, readings):
    assert len(date_readings(texts)) == readings


def test_parts_are_the_day_and_positions_in_cycles():
    parts = date_parts(days("1970-01-01", "1970-01-04T12:00", "1970-07-02"))
    assert parts.shape == (3, 7)
    np.testing.assert_allclose(parts[:, 0], [0, 3.5, 182])
    year, week, day = parts[:, 1:3], parts[:, 3:5], parts[:, 5:]
    np.testing.assert_allclose(year[[0, 2]], [[0, 1], [0, -1]], atol=0.02)
    np.testing.assert_allclose(week[1], [0, 1], atol=1e-12)  # a Sunday
    np.testing.assert_allclose(week[0], week[2], atol=1e-12)  # Thursdays
    np.testing.assert_allclose(day, [[0, 1], [0, -1], [0, 1]], atol=1e-12)


def test_cycles_in_which_nothing_differs_are_left_out_and_gaps_stay_gaps():
    parts = date_parts(days("2024-01-01", "NaT", "2024-01-08"))
    assert parts.shape == (3, 3)  # Both dates are Mondays at midnight.
    assert np.isnan(parts[1]).all() and np.isfinite(parts[[0, 2]]).all()


def test_times_of_day_and_time_zones():
    import datetime

    times = pyarrow.chunked_array([[datetime.time(6, 30), None]])
    assert np.array_equal(to_dates(times), days("1970-01-01T06:30", "NaT"), equal_nan=True)
    moment = datetime.datetime(2024, 1, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=3)))
    zoned = pyarrow.chunked_array([pyarrow.array([moment], pyarrow.timestamp("us", "Asia/Tokyo"))])
    assert np.array_equal(to_dates(zoned), days("2023-12-31T23:00"))


def test_fractions_of_seconds_are_kept():
    times = np.array(["2024-01-01T00:00:00.001", "2024-01-01T00:00:00.002"], "datetime64[ms]")
    days_since_1970 = date_parts(to_dates(pyarrow.chunked_array([pyarrow.array(times)])))[:, 0]
    assert np.diff(days_since_1970) * 86_400_000 == pytest.approx(1, rel=1e-3)
