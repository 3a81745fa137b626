"""The site: every page is in its navigation, links lead somewhere, every plugin has its page, and it builds by itself."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from retina_core.registry import Registry

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def site() -> dict[str, Any]:
    settings: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    return settings


def leaves(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for part in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else []:
        yield from leaves(part)


def test_every_page_is_in_the_navigation_once() -> None:
    assert sorted(leaves(site()["nav"])) == [path.relative_to(DOCS).as_posix() for path in PAGES]


def test_every_stage_has_its_page_and_its_row() -> None:
    registry = Registry.discover(
        only=",".join(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
    )
    rows = [row for row in registry.rows if row.role not in {"reader", "filter"}]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for row in rows:
        page = DOCS / "reference/stages" / f"{row.name}.md"
        assert page.read_text(encoding="utf-8").startswith(f"# {row.name}\n")
        assert f"\n| `{row.name}` |" in readme
    assert {path.stem for path in (DOCS / "reference/stages").iterdir()} == {row.name for row in rows}


@pytest.mark.parametrize("page", [*TEXTS, *PAGES], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), link
        assert ROOT in target.parents, link
        assert not anchor or anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text(encoding="utf-8")), flags=re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"[-\s]+", "-", heading) for heading in plain}


def test_nothing_of_this_machine_is_in_a_page() -> None:
    for page in [*TEXTS, *PAGES, ROOT / "mkdocs.yml", ROOT / "CITATION.cff"]:
        assert not re.search(r"/(?:home|root|work|tmp)/|localhost", page.read_text(encoding="utf-8")), page


def test_the_site_asks_nothing_of_any_network() -> None:
    theme = site()["theme"]
    assert theme["font"] is False
    assert not site().get("extra_javascript")
    assert not {"social", "privacy", "offline"} & {
        next(iter(p)) if isinstance(p, dict) else p for p in site()["plugins"]
    }


def test_changelog_and_citation_name_the_version_of_the_packages() -> None:
    version = tomllib.loads((ROOT / "core/pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= citation.keys()
    assert (citation["version"], citation["license"], citation["type"]) == (version, "Apache-2.0", "software")
    assert all("name" in author or "family-names" in author for author in citation["authors"])
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert version in changelog
    assert re.findall(r"^## ", changelog, flags=re.MULTILINE)


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_names_no_other_host(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="make docs installs what the site needs")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    built = list(tmp_path.rglob("*.html"))
    assert len(built) > len(PAGES)
    loaded = r"<(?:script|img|iframe)[^>]*\ssrc=\"?(?:https?:)?//|<link[^>]*rel=\"?(?:stylesheet|preconnect)[^>]*//"
    assert [page.name for page in built if re.search(loaded, page.read_text(encoding="utf-8"))] == []
