"""The documentation names what exists: links, modules, make targets, decision records, Dagster concepts.

It is read as text; nothing of the product is imported.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stedi_assets_tests import errors_page

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "docs" / "adr"

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/**/*.md")])
"""Every page."""

EXACT = [
    ROOT / "SECURITY.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "docs" / "architecture.md",
    ROOT / "docs" / "glossary.md",
    ROOT / "docs" / "operations.md",
    ROOT / "docs" / "privacy.md",
    ROOT / ".github" / "pull_request_template.md",
    *RECORDS.glob("*.md"),
]
"""The pages in which every module must exist."""

COMMANDS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / ".github" / "pull_request_template.md",
    ROOT / ".github" / "workflows" / "ci.yml",
]
"""The pages that name targets of make."""

OF_OTHERS = {"CommitFailedError"}
"""Errors of other packages that a page names."""

SECTIONS = ["Context", "Decision", "Consequences"]

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_PATH = re.compile(r"(?:stedi_assets|stedi_assets_tests|docs|bench|\.github|\.ci)/[\w./-]*")
_MODULE = re.compile(r"stedi_assets(?:_tests)?(?:\.\w+)+")
_TEST = re.compile(r"test_\w+\.py")
_MAKE = re.compile(r"^make((?: +[a-z][a-z-]*)+)")


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(text: str) -> str:
    """A page without its blocks of code."""
    return _FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    plain = (re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", found[1]) for found in _HEADING.finditer(prose(text)))
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in plain}


def broken_links(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    broken = []
    for link in _LINK.findall(_CODE.sub("", prose(page.read_text()))):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        wanted = bool(anchor) and target.suffix == ".md"
        if not target.exists() or (wanted and anchor not in anchors(target.read_text())):
            broken.append(link)
    return broken


def missing_modules(text: str, root: Path) -> list[str]:
    """The files, folders and modules that a page names in backticks and that do not exist."""
    return [code for code in _CODE.findall(prose(text)) if not _exists(code, root)]


def _exists(code: str, root: Path) -> bool:
    if _PATH.fullmatch(code):
        return (root / code).exists()
    if _TEST.fullmatch(code):
        return any(root.glob(f"stedi_assets_tests/**/{code}"))
    if _MODULE.fullmatch(code):
        path = root.joinpath(*code.split("."))
        # The last part may be a name within the module.
        places = [path, path.parent] if code.count(".") > 1 else [path]
        return any(one.is_dir() or one.with_name(f"{one.name}.py").exists() for one in places)
    return True


def named_targets(page: Path) -> Iterator[str]:
    """The targets of make that a page names in code."""
    text = page.read_text()
    if page.suffix == ".md":
        blocks = "\n".join(_FENCE.findall(text)).splitlines()
        code = [*blocks, *_CODE.findall(prose(text))]
    else:
        code = re.findall(r"run: (.+)", text)
    for line in code:
        if found := _MAKE.match(line.removeprefix("$ ").partition("#")[0].rstrip()):
            yield from found[1].split()


def makefile_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def records() -> list[Path]:
    return sorted(RECORDS.glob("[0-9]*.md"))


@pytest.mark.parametrize("page", PAGES, ids=_relative)
def test_every_relative_link_resolves(page: Path) -> None:
    assert broken_links(page) == []


@pytest.mark.parametrize("page", EXACT, ids=_relative)
def test_every_module_that_is_named_exists(page: Path) -> None:
    assert missing_modules(page.read_text(), ROOT) == []


@pytest.mark.parametrize("page", COMMANDS, ids=_relative)
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    named = set(named_targets(page))

    assert named
    assert named - makefile_targets() == set()


@pytest.mark.parametrize("page", records(), ids=_relative)
def test_a_decision_record_has_the_one_form(page: Path) -> None:
    text = prose(page.read_text())
    number = int(page.name[:4])
    head = rf"# {number}\. \S.*\n\n- Status: (proposed|accepted|superseded by \[).*\n- Date: \d{{4}}-\d\d-\d\d\n\n## "

    assert re.match(head, text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS


def test_decision_records_are_numbered_without_a_gap() -> None:
    assert [int(page.name[:4]) for page in records()] == list(range(1, len(records()) + 1))


def test_the_index_has_every_decision_record_as_it_is() -> None:
    rows = []
    for page in records():
        title, status, day = re.findall(r"^(?:# \d+\. |- Status: |- Date: )(.+)$", page.read_text(), re.MULTILINE)[:3]
        rows.append(f"| [{int(page.name[:4])}]({page.name}) | {title} | {status} | {day} |")

    assert re.findall(r"^\| \[\d.+$", (RECORDS / "README.md").read_text(), re.MULTILINE) == rows


def test_terms_of_the_glossary_are_in_order_and_have_a_module() -> None:
    rows = re.findall(r"^\| \*\*(.+?)\*\* \| (.+) \| (.+) \|$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    terms = [term.lower() for term, _, _ in rows]

    assert len(terms) >= 25
    assert terms == sorted(set(terms))
    assert all(_PATH.fullmatch(module.strip("`")) for _, _, module in rows)


def test_the_page_of_errors_is_what_the_classes_say() -> None:
    assert errors_page.PAGE.read_text() == errors_page.page(), "run `make docs`"


def test_every_error_says_what_it_means_and_what_to_do() -> None:
    errors = errors_page.error_classes()

    assert {"SettingsError", "VacuumedError", "RedactedError", "SampleError"} <= {error.name for error in errors}
    assert [error.name for error in errors if not error.meaning.endswith(".") or not error.remedy.endswith(".")] == []


@pytest.mark.parametrize("page", PAGES, ids=_relative)
def test_every_error_that_is_named_exists(page: Path) -> None:
    named = set(re.findall(r"`(\w+Error)`", page.read_text()))

    assert named <= {error.name for error in errors_page.error_classes()} | set(dir(builtins)) | OF_OTHERS


@pytest.mark.parametrize("module", sorted((ROOT / "stedi_assets/defs").rglob("*.py")), ids=_relative)
def test_each_module_of_defs_names_its_dagster_concept(module: Path) -> None:
    docstring = ast.get_docstring(ast.parse(module.read_text())) or ""

    assert re.search(r"^Dagster concepts?: ", docstring, re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("[a](other.md) [b](other.md#a-heading) [c](#top) [d](https://example.com/x.md)", []),
        ("[a](none.md) ![b](none.png)", ["none.md", "none.png"]),
        ("[a](other.md#none) [b](#none)", ["other.md#none", "#none"]),
        ("`[a](none.md)`\n\n```\n[b](none.md)\n```\n", []),
    ],
)
def test_broken_links_are_found(tmp_path: Path, text: str, broken: list[str]) -> None:
    (tmp_path / "other.md").write_text("# A `heading`\n")
    page = tmp_path / "page.md"
    page.write_text(f"# Top\n\n{text}\n")

    assert broken_links(page) == broken


@pytest.mark.parametrize(
    "code",
    [
        "stedi_assets/none.py",
        "stedi_assets/none/",
        "stedi_assets.none",
        "stedi_assets.none.at_all",
        "test_none_of_that_name.py",
        "docs/none.md",
    ],
)
def test_missing_modules_are_found(code: str) -> None:
    assert missing_modules(f"See `{code}`, and `stedi_assets/settings.py`.", ROOT) == [code]


def test_targets_are_read_from_code_only(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("We make tables. `make lint test`\n\n```console\n$ make demo   # to make data\n```\n")

    assert set(named_targets(page)) == {"lint", "test", "demo"}
