"""Tests that the outputs on docs/commands.md are those of the present commands."""

import re
import runpy
from pathlib import Path

import pytest
from pygments.lexers.shell import BashSessionLexer
from pygments.token import Token

ROOT = Path(__file__).parents[1]
SCRIPT = runpy.run_path(str(ROOT / "docs" / "commands.py"))
PAGE = SCRIPT["PAGE"].read_text()
OF_THE_MACHINE = ("hinged info", "hinged bench")
"""Commands whose outputs name the machine. The test only runs them."""
OF_CHANCE = {
    "about",
    "minutes",
    "above",
    "below",
    "better",
    "worse",
    "can",
    "show",
    "that",
    "these",
    "seeds",
}
"""Words of verdicts that depend on the scores. Scores differ between kernels."""


EXPECTED_TIME = re.compile(r"^.*judging by the first epoch\.\n", flags=re.M)
"""A line that is printed if the trainings take long on this machine."""


def words(text):
    return set(re.findall(r"[A-Za-z_]{3,}", EXPECTED_TIME.sub("", text)))


@pytest.mark.slow
@pytest.mark.timeout(900)  # It runs all commands.
def test_the_outputs_on_the_page_have_the_words_of_present_outputs():
    new = SCRIPT["BLOCK"].findall(SCRIPT["with_outputs"](PAGE))
    old = SCRIPT["BLOCK"].findall(PAGE)
    assert len(new) == len(old) > 8
    for (command, present), (_, shown) in zip(new, old, strict=True):
        if not command.startswith(OF_THE_MACHINE):
            assert words(present) ^ words(shown) <= OF_CHANCE, command


def test_every_command_is_on_the_page():
    listed = SCRIPT["run"]("hinged --help", ROOT)
    commands = set(re.findall(r"^[│|]\s+([a-z][a-z-]+)\s\s", listed, flags=re.M))
    assert {"compare", "info", "study"} <= commands
    for command in commands:
        assert re.search(rf"^\$ hinged {command}\b", PAGE, flags=re.M), command


def test_a_command_that_fails_is_an_error(tmp_path):
    with pytest.raises(SCRIPT["subprocess"].CalledProcessError):
        SCRIPT["run"]("hinged copmare", tmp_path)


def test_options_on_the_page_exist():
    help_texts = SCRIPT["run"]("hinged compare --help", ROOT)
    (table,) = re.findall(r"\| to \| add \|\n(.*?)\n\n", PAGE, flags=re.S)
    named = set(re.findall(r"--[a-z][a-z-]+", table))
    assert len(named) > 5
    assert named <= set(re.findall(r"--[a-z][a-z-]+", help_texts))


def test_no_line_of_an_output_looks_like_a_command():
    assert SCRIPT["_as_output"]("% of 5 seeds ") == "\u200b% of 5 seeds"
    assert SCRIPT["_as_output"](" 5 % of") == " 5 % of"
    for command, output in SCRIPT["BLOCK"].findall(PAGE):
        tokens = BashSessionLexer().get_tokens(f"$ {command}\n{output}")
        prompts = [text for kind, text in tokens if kind is Token.Generic.Prompt]
        assert prompts == ["$ "], command
