"""The ``README.md`` of an annotated folder."""

from __future__ import annotations

from retina_core.data.sample import WEAK_GRADE
from retina_core.formats.annotation import Annotation

_CARD = """# {name}, annotated

{count} photographs of {name} with what they were annotated for, copied as it was, and with **weak** labels beside it,
which a program filled in where nobody had annotated:

{filled}

A row's column `weak` in `metadata.jsonl` names what of it is weak. Stages may learn from that; no test is held to it.
`annotators/seen.json` lists the photographs that the annotators had learnt from: no evaluation tests on one of these.
{source}"""


def annotation_card(annotation: Annotation, count: int) -> str:
    """What is said of a folder to whoever finds it."""
    lines = []
    for name, facts in annotation.filled.items():
        by = f"{facts['name']} {facts['version']} (weights {str(facts['weights'])[:12]})"
        if name == WEAK_GRADE:
            lines.append(f"- {facts['count']} grades, by {by}{_held_out(facts)}")
        else:
            lines.append(f"- {facts['count']} maps of {name}, by {by}, threshold {facts['threshold']:.3f}")
    told = [("Citation", annotation.citation), ("Licence", annotation.licence)]
    source = "".join(f"\n{key}: {text}\n" for key, text in told if text)
    return _CARD.format(name=annotation.name, count=count, filled="\n".join(lines), source=source)


def _held_out(facts: dict[str, object]) -> str:
    accuracy, kappa = facts["accuracy"], facts["kappa"]
    if not isinstance(accuracy, float):
        return ""
    agreed = f", quadratic kappa {kappa:.2f}" if isinstance(kappa, float) else ""
    return f"; on {facts['held_out']} held-out grades: accuracy {accuracy:.2f}{agreed}"
