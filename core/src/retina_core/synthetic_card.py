"""The README of a synthetic set: what it is, what it was made from, and what may be concluded from it."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

from retina_core.formats.stage_card import StageCard

STYLED = (
    " But all its photographs are painted in the manner of one more photograph, whose content hash is the `style` of"
    " every row and one of `seen.json`: if that shows a real eye, its colours are here."
)


def synthetic_card(
    cards: Sequence[StageCard],
    count: int,
    seed: int,
    style: str | None = None,
    remarks: Sequence[str] = (),
) -> str:
    """The text of ``README.md`` for ``count`` pairs of a label generator's and a translator's, or of a pair generator's alone.

    Args:
        style: the content hash of the photograph in whose manner they were painted.
        remarks: what else must be said of this set, a paragraph each.
    """
    generator, translator = cards[0], cards[-1]
    roles = ("label generator", "translator") if len(cards) > 1 else ("pair generator",)
    sources = sorted({name for card in cards for name in card.provenance.get("data", [])})
    phantom = any(card.provenance.get("phantom") for card in cards)
    origin = (
        "It was made from phantoms, which an algorithm draws: it shows no real eye, and nothing that was learnt from one."
        if phantom
        else "Its stages were trained on real photographs; none of them is in this set."
    )
    if style is not None:
        origin += STYLED
    further = "".join(f"{fill(remark, 120, break_long_words=False)}\n\n" for remark in remarks)
    made_by = "\n".join(
        f"| {role} | {card.name} {card.version}, {card.resolution} px |"
        for role, card in zip(roles, cards, strict=True)
    )
    return f"""---
tags: [synthetic, retina, fundus]
---
# {count} synthetic retinal photographs with label maps

{origin}

| | |
| --- | --- |
{made_by}
| channels | {", ".join(name for name in generator.channels if name in translator.channels)} |
| trained on | {", ".join(sources) or "unknown"} |
| seed | {seed} |

`images/` holds the photographs, `labels/<channel>/` their label maps (0 and 255), `fov/` the field of view, and
`metadata.jsonl` a row for each pair. `seen.json` lists the content hashes of the photographs that the stages were
trained on, so that nobody tests on them by mistake.

{further}Do not use it for diagnosis. The licence of the photographs that the stages were trained on may bind what was learnt
from them: read it before you publish this set.
"""
