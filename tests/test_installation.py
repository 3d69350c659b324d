from importlib.metadata import PackageNotFoundError

import torch

import hinged
from hinged import installation


def test_the_installation_is_described_by_short_texts():
    facts = installation.describe_installation()
    assert facts["hinged"] == hinged.__version__ and facts["torch"] == torch.__version__
    assert all(isinstance(text, str) and text for text in facts.values())


def test_a_package_that_is_missing_is_named(monkeypatch):
    def missing(package):
        if package == "lightning":
            raise PackageNotFoundError(package)
        return "1.0"

    monkeypatch.setattr(installation, "version", missing)
    facts = installation.describe_installation()
    assert facts["lightning"] == installation.NOT_INSTALLED and facts["scipy"] == "1.0"


def test_without_git_the_commit_is_unknown(monkeypatch):
    def fail(*_):
        raise OSError

    monkeypatch.setattr(installation, "_git", fail)
    installation.source_commit.cache_clear()
    assert installation.source_commit() == "unknown"
    installation.source_commit.cache_clear()
