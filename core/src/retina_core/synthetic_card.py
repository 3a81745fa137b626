"""The README of a synthetic set: what it is, what it was made from, and what may be concluded from it."""

from __future__ import annotations

from retina_core.formats.stage_card import StageCard


def synthetic_card(cards: tuple[StageCard, StageCard], count: int, seed: int) -> str:
    """The text of ``README.md`` for ``count`` pairs of a label generator's and a translator's."""
    generator, translator = cards
    sources = sorted({name for card in cards for name in card.provenance.get("data", [])})
    phantom = any(card.provenance.get("phantom") for card in cards)
    origin = (
        "It was made from phantoms, which an algorithm draws: it shows no real eye, and nothing that was learnt from one."
        if phantom
        else "Its stages were trained on real photographs; none of them is in this set."
    )
    return f"""---
tags: [synthetic, retina, fundus]
---
# {count} synthetic retinal photographs with label maps

{origin}

| | |
| --- | --- |
| label generator | {generator.name} {generator.version}, {generator.resolution} px |
| translator | {translator.name} {translator.version}, {translator.resolution} px |
| channels | {", ".join(generator.channels)} |
| trained on | {", ".join(sources) or "unknown"} |
| seed | {seed} |

`images/` holds the photographs, `labels/<channel>/` their label maps (0 and 255), `fov/` the field of view, and
`metadata.jsonl` a row for each pair. `seen.json` lists the content hashes of the photographs that the stages were
trained on, so that nobody tests on them by mistake.

Do not use it for diagnosis. The licence of the photographs that the stages were trained on may bind what was learnt
from them: read it before you publish this set.
"""
