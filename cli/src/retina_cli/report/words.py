"""Numbers and facts as a reader would say them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from retina_cli.report.run_folder import RunContents, entries, made_by, section
from retina_core.evaluation.paper_protocols import PROTOCOLS
from retina_core.evaluation.scores import Score, Scores

NONE = "–"
FEW_EYES = 30
"""Test eyes below which the report warns; a usual rule of thumb for means."""

REGIMES = {
    "REAL": "trained on the {} training photographs",
    "SYNTH": "trained on synthetic pairs alone",
    "BOTH": "trained on all {} photographs and all synthetic pairs together",
    "MIX": "all {} photographs, and synthetic pairs until they are this percentage of the whole",
    "FINETUNE": "trained on synthetic pairs first, then on the {} photographs",
}
_SMALL = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


def number(value: object, digits: int = 3) -> str:
    """A number with so many decimals; in powers of ten where that would round it to 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return NONE
    if isinstance(value, int):
        return f"{value}"
    vanishes = 0 < abs(value) < 0.5 * 10**-digits
    return (f"{value:.2e}" if vanishes else f"{value:.{digits}f}").replace("-", "−")


def signed(value: float | None) -> str:
    """A difference with three decimals and its sign, of 0.000 too: on which side of 0 an interval ends is what counts."""
    if value is None or not math.isfinite(value):
        return NONE
    return (f"{value:+.3f}" if value else f"{0:.3f}").replace("-", "−")


def duration(seconds: object) -> str:
    """Seconds as hours, minutes and seconds."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < 1e9:
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def counted(count: int, noun: str) -> str:
    """``eight eyes``, ``1 eye`` as words up to twelve, digits above."""
    plural = noun if count == 1 else f"{noun}s"
    return f"{_SMALL[count] if count < len(_SMALL) else format(count, ',')} {plural}"


def listed(words: Iterable[object]) -> str:
    """``a, b and c``."""
    parts = [str(word) for word in words]
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def spoken(name: str) -> str:
    """A channel's or a step's name without its underscores."""
    return name.replace("_", " ")


def annotated(samples: Sequence[Any]) -> list[Any]:
    """The samples of ``data.json`` that have a label map: stages learn from these, and are tested on them."""
    return [one for one in samples if not (isinstance(one, dict) and one.get("annotated") is False)]


def _others(samples: Sequence[Any]) -> str:
    """How many have none; nothing where all have one."""
    count = len(samples) - len(annotated(samples))
    return f" ({count:,} more have no label map)" if count else ""


def people(samples: Sequence[Any]) -> int:
    """How many patients some samples of ``data.json`` come from."""
    return len({str(sample.get("patient")) for sample in samples if isinstance(sample, dict)})


def account(contents: RunContents) -> str:
    """What was done, in two sentences."""
    facts = contents.facts
    train, test = entries(facts, "train"), entries(facts, "test")
    if not train:
        return _made(contents)
    tested = annotated(test)
    return (
        f"{_made(contents)}{_lessons(contents)}; "
        f"{counted(len(tested), 'eye')} of {counted(people(tested), 'patient')}{_others(test)}{_tested(facts)}, and no "
        "generative model has seen them."
    )


def _made(contents: RunContents) -> str:
    """Who drew label maps, and who painted photographs; a sentence, and a space after it."""
    request, facts = section(contents.run, "request"), contents.facts
    channels = listed(spoken(str(channel)) for channel in entries(facts, "channels")) or "unknown channels"
    if request.get("pairs"):
        return f"{request['pairs']} drew label maps ({channels}) and photographs together, from noise. "
    return (
        f"{request.get('labels', 'A label generator')} drew label maps ({channels}) "
        f"{'by rules' if _by_rules(contents) else 'from noise'}, and "
        f"{request.get('translator', 'an image translator')} painted photographs over them. "
    )


def _tested(facts: Mapping[str, Any]) -> str:
    """Which eyes were tested on."""
    elsewhere = facts.get("tested_on")
    return f" in {elsewhere}, another data set, were tested on" if elsewhere else " were held out for testing"


def _by_rules(contents: RunContents) -> bool:
    """Whether the label generator learns nothing: it has settings, and none says how long it is trained."""
    settings = section(section(contents.run, "configs"), "labels")
    return bool(settings) and "seen_images" not in settings


def _lessons(contents: RunContents) -> str:
    """What both stages learnt from: the training part, or the eyes that a starter was made from."""
    request, facts, starts = section(contents.run, "request"), contents.facts, section(contents.run, "starts")
    learners = made_by(contents.run)[-1:] if _by_rules(contents) else made_by(contents.run)
    ready = [key for key in learners if section(starts, key).get("trained") is False]
    others = [str(request.get(key, key)) for key in learners if key not in ready]
    if not others:
        alone = f"{request.get(learners[-1])} came trained, as the starter of its plugin"
        both = "Both came trained, as the starters of their plugins"
        return f"{both if len(learners) > 1 else alone}, which saw other phantoms than these"
    phantom = bool(facts.get("phantom"))
    source = "phantom eye" if phantom else "real photograph"
    of = "" if phantom else f" of {facts.get('name', 'the data')}"
    begun = _begun(
        {str(section(starts, key).get("from") or "") for key in learners if key not in ready} - {""}
    )
    train = entries(facts, "train")
    said = f"learnt from {counted(len(annotated(train)), source)}{of}{_others(train)}{begun}"
    if not ready:
        return f"{'Both' if len(learners) > 1 else others[0]} {said}"
    names = listed(request.get(key, key) for key in ready)
    return f"{listed(others)} {said}; {names} came trained, as the starter of its plugin, which saw other phantoms"


def _begun(origins: Set[str]) -> str:
    """What was learnt before: nothing, or with what a training began."""
    if not origins:
        return ""
    starters = all(origin.startswith("the starter of ") for origin in origins)
    return f", beginning with {'starters, which saw phantoms' if starters else 'what was learnt before'}"


def few_eyes(contents: RunContents) -> str:
    """A warning where the test part is small, or nothing."""
    test = annotated(entries(contents.facts, "test"))
    if not 0 < len(test) < FEW_EYES:
        return ""
    said = f"{counted(len(test), 'test eye')} of {counted(people(test), 'patient')}"
    return (
        f"{said[0].upper()}{said[1:]} are few. Read the intervals, not the third decimal: another handful of eyes "
        "could turn a small difference round."
    )


def findings(scores: Scores, *, phantom: bool) -> list[str]:
    """What the comparison of REAL and SYNTH says, a sentence for each channel, good or bad."""
    channels = dict.fromkeys(s.channel for s in scores.scores if s.regime == "SYNTH")
    kind = "phantom" if phantom else "real"
    return [said for channel in channels if (said := _finding(scores, channel, kind))]


def regime_meanings(scores: Scores, *, phantom: bool) -> list[tuple[str, str]]:
    """Each kind of regime that was met, and what its segmenters were trained on."""
    met = dict.fromkeys(str(score.regime).split("(")[0] for score in scores.scores if score.regime)
    kind = "phantom" if phantom else "real"
    return [(f"{name}(p)" if name == "MIX" else name, REGIMES.get(name, "").format(kind)) for name in met]


def _finding(scores: Scores, channel: str | None, kind: str) -> str:
    real, synth = scores.find("dice", "REAL", channel), scores.find("dice", "SYNTH", channel)
    if real is None or synth is None or real.value is None or synth.value is None:
        return ""
    where = f" for {spoken(channel)}" if channel else ""
    said = (
        f"Trained on synthetic pairs alone, {scores.evaluator} reaches Dice {number(float(synth.value))}{where}; "
        f"trained on the {kind} photographs, {number(float(real.value))}."
    )
    difference = next(
        (s for s in scores.scores if (s.name, s.regime, s.channel) == ("dice_difference", "SYNTH", channel)),
        None,
    )
    return said + (_verdict(difference, kind) if difference else "")


def _verdict(difference: Score, kind: str) -> str:
    if difference.value is None or difference.low is None or difference.high is None:
        return ""
    interval = f"{signed(difference.low)} to {signed(difference.high)}"
    said = f" The difference is {signed(difference.value)} (95 % interval {interval}), "
    if difference.low <= 0 <= difference.high:
        return said + "so these eyes do not decide which is better."
    better = "synthetic pairs" if difference.value > 0 else f"{kind} photographs"
    return said + f"so {better} serve better here."


def by_protocol(scores: Scores) -> str:
    """By which paper's protocol it was trained and tested; empty where it was the core's own."""
    if scores.protocol is None:
        return ""
    known = PROTOCOLS.get(scores.protocol)
    return f"Protocol {scores.protocol}{f': trained and tested as in {known.paper}' if known else ''}."
