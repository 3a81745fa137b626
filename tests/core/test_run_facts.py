"""What a run writes down about its samples."""

from __future__ import annotations

from dataclasses import replace

from retina_core.pipeline import _sample_facts
from retina_core.testing import tiny_eyes


def test_a_sample_without_a_map_in_use_is_said_to_have_none() -> None:
    eye = tiny_eyes(1, channels=("vessel",)).samples[0]
    nothing_marked = replace(eye, labels={"vessel": None})
    of_another_channel = replace(eye, labels={"fovea": eye.labels["vessel"]})
    for sample, known in ((eye, True), (nothing_marked, True), (of_another_channel, False)):
        facts = _sample_facts(sample, ("vessel",))
        assert facts.get("annotated", True) is known
        assert (facts["id"], facts["fingerprint"]) == (sample.id, sample.identity)
