"""The core's own plugin: readers of public data sets, an evaluator and a filter, through the same hooks as anybody's."""

from collections.abc import Sequence

from retina_core.api import FilterSpec, ReaderSpec, StageSpec, hookimpl


@hookimpl
def retina_datasets() -> Sequence[ReaderSpec]:
    """Offer the readers that come with the core."""
    readers = "retina_core.data.readers"
    return [
        ReaderSpec(
            "chase_db1",
            f"{readers}.chase_db1:ChaseDB1Reader",
            "CHASE_DB1: 28 photographs of 14 children, vessels",
        ),
        ReaderSpec(
            "hrf",
            f"{readers}.hrf:HRFReader",
            "HRF: 45 photographs of three groups, vessels and fields of view",
        ),
        ReaderSpec(
            "drive",
            f"{readers}.drive:DRIVEReader",
            "DRIVE: 40 photographs, vessels and fields of view",
        ),
        ReaderSpec(
            "stare",
            f"{readers}.stare:STAREReader",
            "STARE: 20 photographs, vessels, packed or not",
        ),
        ReaderSpec(
            "idrid",
            f"{readers}.idrid:IDRiDReader",
            "IDRiD: 81 photographs with lesions and optic discs, 516 with grades; both parts or one",
        ),
        ReaderSpec(
            "fgadr",
            f"{readers}.fgadr:FGADRReader",
            "FGADR: 1,842 photographs with six lesions and grades",
        ),
        ReaderSpec(
            "messidor",
            f"{readers}.messidor:MessidorReader",
            "Messidor and Messidor-2: photographs only, grades where their table is there",
        ),
        ReaderSpec(
            "folder",
            f"{readers}.folder:FolderReader",
            "images/ with labels/<channel>/, masks/ or maps of classes, any kind of picture",
        ),
        ReaderSpec(
            "phantom",
            f"{readers}.phantom:PhantomReader",
            "eyes drawn by the core itself, no files; no real eye",
        ),
    ]


@hookimpl
def retina_evaluators() -> Sequence[StageSpec]:
    """Offer the evaluators that look at pairs, and train no segmenter."""
    return [
        StageSpec(
            name="likeness",
            role="evaluator",
            target="retina_core.evaluation.likeness:LikenessEvaluator",
            config="retina_core.evaluation.likeness_config:LikenessConfig",
            summary="Are pairs like real ones, and not copies? Grey intensities (KL) and nearest training maps",
            paper="Guibas et al. 2017, arXiv 1709.01872",
        ),
        StageSpec(
            name="grades",
            role="evaluator",
            target="retina_core.evaluation.grades:GradesEvaluator",
            config="retina_core.evaluation.grades_config:GradesConfig",
            summary="Does the grade show? Lesions by grade, and a classifier that learnt from real maps",
            paper="Son et al. 2021",
        ),
    ]


@hookimpl
def retina_filters() -> Sequence[FilterSpec]:
    """Offer the filter that knows what every eye has."""
    return [
        FilterSpec(
            "anatomy",
            "retina_core.anatomy_filter:accept",
            "one optic disc, one fovea, vessels that reach the disc: where these channels are there",
        )
    ]
