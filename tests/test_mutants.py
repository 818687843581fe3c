"""The table of mutants is true: what it spoils is there, and so are the tests that must notice."""

from __future__ import annotations

from tests.mutants import ROOT, mutants


def test_what_is_spoiled_is_there_once() -> None:
    """Otherwise `make mutants` would prove nothing."""
    texts = {one.file: (ROOT / "daemon" / one.file).read_text("utf-8") for one in mutants()}
    assert [one for one in mutants() if texts[one.file].count(one.text) != 1] == []


def test_there_are_enough_of_them() -> None:
    """None twice, none that changes nothing, and each with tests that are there."""
    every = [*mutants()]
    assert len({(one.file, one.text, one.by) for one in every}) == len(every) >= 50
    assert all(one.text != one.by for one in every)
    assert all((ROOT / path).exists() for one in every for path in one.tests.split())
