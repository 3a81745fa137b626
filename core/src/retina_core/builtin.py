"""The core's own plugin: readers of public data sets, offered through the same hooks as anybody's."""

from collections.abc import Sequence

from retina_core.api import ReaderSpec, hookimpl


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
            "folder",
            f"{readers}.folder:FolderReader",
            "images/ with labels/<channel>/ or masks/, any kind of picture",
        ),
        ReaderSpec(
            "phantom",
            f"{readers}.phantom:PhantomReader",
            "eyes drawn by the core itself, no files; no real eye",
        ),
    ]
