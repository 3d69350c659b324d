import matplotlib.pyplot as plt

from hinged.lab.study.across_studies import Gain, GainsInSetting
from hinged.lab.study.summary_plot import draw_gains


def gain(activation, mean):
    return Gain(activation=activation, pairs=9, mean=mean, low=mean - 0.01, high=mean + 0.02, p=0.1)


def test_each_setting_has_a_mark_for_relu_and_one_for_the_best_other():
    settings = [
        GainsInSetting(name="a", score=0.5, gains={"relu": gain("relu", 0.03)}),
        GainsInSetting(
            name="b",
            score=0.5,
            gains={
                "relu": gain("relu", 0.04),
                "silu": gain("silu", -0.02),
                "gelu": gain("gelu", 0.01),
            },
        ),
    ]
    figure = draw_gains(settings)
    (axes,) = figure.axes
    over_relu, over_best = axes.containers
    assert list(over_relu.lines[0].get_xdata()) == [3.0, 4.0]
    assert list(over_best.lines[0].get_xdata()) == [-2.0]
    ((low, _), (high, _)) = over_best.lines[2][0].get_segments()[0]
    assert (round(low, 9), round(high, 9)) == (-3.0, 0.0)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    plt.close(figure)


def test_the_settings_of_a_study_are_below_its_name():
    names = ["mnist: MLP", "mnist: CNN, 2 blocks", "tables: kin8nm"]
    figure = draw_gains(
        [GainsInSetting(name=n, score=0.5, gains={"relu": gain("relu", 0.03)}) for n in names]
    )
    (axes,) = figure.axes
    labels = {label.get_text(): label.get_fontweight() for label in axes.get_yticklabels()}
    assert list(labels) == ["mnist", "MLP", "CNN, 2 blocks", "tables", "kin8nm"]
    assert [name for name, weight in labels.items() if weight == "bold"] == ["mnist", "tables"]
    assert list(axes.containers[0].lines[0].get_ydata()) == [0.84, 1.84, 3.84]
    plt.close(figure)
