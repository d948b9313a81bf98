from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from synthseg.config import load_config
from synthseg.errors import UsageProblem
from synthseg.report import build_report
from synthseg.report.build import _curves
from synthseg.store.run_folder import RunFolder


class Page(HTMLParser):
    """Checks that tags nest, and gathers ids, attributes and visible text."""

    VOID = frozenset({"meta", "link", "img", "br", "input", "circle", "rect", "line", "path", "polyline"})

    def __init__(self, source: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.urls: list[str] = []
        self.text: list[str] = []
        self.images = 0
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.stack.append(tag)
        self.images += tag == "img"
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "srcset", "action"):
                self.urls.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.stack or self.stack[-1] not in ("script", "style"):
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def read(path: str) -> tuple[str, Page]:
    source = Path(path).read_text(encoding="utf-8")
    return source, Page(source)


@pytest.fixture(scope="module")
def page(made_up_run: Path) -> tuple[str, Page]:
    return read(build_report(str(made_up_run)))


def test_the_page_is_well_formed_and_complete(page: tuple[str, Page], made_up_run: Path) -> None:
    _, parsed = page
    assert (made_up_run / "report" / "index.html").is_file()
    assert parsed.stack == []
    assert len(parsed.ids) == len(set(parsed.ids))
    assert {"pipeline", "prompts", "gallery", "scores", "labels", "masks", "training", "segmentation", "config"} <= set(parsed.ids)
    assert " yet." not in parsed.words


def test_the_page_asks_the_network_for_nothing(page: tuple[str, Page]) -> None:
    source, parsed = page
    assert all(url.startswith(("#", "data:")) or url == "" for url in parsed.urls)
    assert not re.findall(r"url\(|@import|https?://|fetch\(|XMLHttpRequest", source)
    assert all(link in parsed.ids for link in (url[1:] for url in parsed.urls if url.startswith("#")))


def test_the_numbers_of_the_run_stand_on_the_page(page: tuple[str, Page], made_up_run: Path) -> None:
    metrics = json.loads((made_up_run / "metrics.json").read_text(encoding="utf-8"))
    words = page[1].words
    assert f"6 class names became {metrics['samples']['ok']:,} labelled images" in words
    assert "0.521 mIoU" in words
    assert "20.3 points above the training-free control" in words
    assert "0.741" in words
    assert "0.873" in words
    for reason in metrics["samples"]["dropped_by_reason"]:
        assert reason in words
    assert 'engine = "llama"' in words


def test_replies_that_were_cut_short_stand_there_with_the_setting_to_raise(page: tuple[str, Page]) -> None:
    assert re.search(r"[1-9]\d* were cut short: their replies ended at prompts\.max_tokens; raise it\.", page[1].words)


def test_text_of_a_prompt_is_never_markup(page: tuple[str, Page]) -> None:
    source, parsed = page
    assert '<script>alert("x")' not in source
    assert '<script>alert("x")</script> a {{ cat }} & "friends"' in parsed.words


def test_the_gallery_shows_each_class_and_what_was_dropped(page: tuple[str, Page], made_up_run: Path) -> None:
    source, _ = page
    groups = re.findall(r'class="shot[^"]*" data-group="([^"]+)"', source)
    classes = RunFolder.open(str(made_up_run)).config().classes
    assert set(groups) == {*classes, "dropped"}
    assert max(groups.count(name) for name in classes) <= 16
    assert groups.count("dropped") <= 24
    assert len({*re.findall(r'data-id="([^"]+)"', source)}) == len(groups)


def test_each_held_out_image_stands_beside_its_three_masks(page: tuple[str, Page]) -> None:
    source, _ = page
    panels = source[source.index('id="segmentation"') :]
    assert panels.count('class="field"') == 6
    assert panels.count('class="mask"') == 18
    assert re.search(r"trained <b>0\.\d\d</b>", source)


def test_some_pictures_of_each_class_stand_beside_their_pseudo_mask(page: tuple[str, Page]) -> None:
    source, _ = page
    panels = source[source.index('id="masks"') : source.index('id="training"')]
    assert panels.count('alt="pseudo-mask"') == 12
    assert "8.0 % of the pixels are unknown" in panels


@pytest.mark.parametrize(
    ("missing", "notice"),
    [
        ("prompts", "No prompts are published yet."),
        ("images", "No images are published yet."),
        ("labels", "Label F1"),
        ("masks", "No masks are published yet."),
        ("report_assets", "IoU by class"),
        ("metrics.json", "This run has not finished"),
    ],
)
def test_a_missing_piece_leaves_the_rest(missing: str, notice: str, made_up_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(made_up_run, out)
    lost = out / missing
    if lost.is_dir():
        shutil.rmtree(lost)
    else:
        lost.unlink()
    _, parsed = read(build_report(str(out)))
    assert parsed.stack == []
    assert notice in parsed.words


def test_a_damaged_shard_is_named_and_the_rest_is_shown(made_up_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(made_up_run, out)
    shard = next((out / "prompts").glob("cat-*.parquet"))
    shard.write_bytes(shard.read_bytes()[:100])
    (out / "metrics.json").write_text("{", encoding="ascii")
    _, parsed = read(build_report(str(out)))
    assert "do not match the marker" in parsed.words
    assert "metrics.json cannot be read" in parsed.words
    assert "Acceptance by round" in parsed.words


def test_a_run_that_has_only_begun_has_a_page(tmp_path: Path) -> None:
    RunFolder.create(str(tmp_path), load_config("voc"))
    _, parsed = read(build_report(str(tmp_path)))
    assert "20 class names are on their way" in parsed.words
    assert parsed.images == 0


def test_the_page_shows_no_credentials(tmp_path: Path) -> None:
    dataset = "folder:s3://key:hunter2@bucket/split?token=hunter2"
    RunFolder.create(str(tmp_path), load_config("voc", [f"evaluation.dataset={dataset}"]))
    source, parsed = read(build_report(str(tmp_path)))
    assert "evaluated on folder:s3://***@bucket/split?token=***" in parsed.words
    assert "hunter2" not in source


def test_no_run_is_a_usage_problem(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="holds no run"):
        build_report(str(tmp_path))
    assert not (tmp_path / "report").exists()


def test_a_loss_that_is_switched_off_has_no_chart() -> None:
    curve = [{"iteration": i, "total": 2.0 - i, "consistency": 0.0} for i in range(3)]
    assert [chart["name"] for chart in _curves("Segmenter", curve)] == ["Segmenter, total"]


def test_the_precision_stands_on_the_page_stage_by_stage_where_it_differs(made_up_run: Path, tmp_path: Path) -> None:
    shutil.copytree(made_up_run, tmp_path / "run")
    out = str(tmp_path / "run")
    folder = RunFolder.open(out)
    folder.note_precision("images", ["fp32 on cpu"])
    folder.note_precision("segmenter", ["fp32 on cpu"])
    assert "precision fp32 on cpu" in " ".join(read(build_report(out))[1].words.split())
    RunFolder.open(out).note_precision("segmenter", ["bf16 on cuda"])
    words = " ".join(read(build_report(out))[1].words.split())
    assert "precision images fp32 on cpu, segmenter bf16 on cuda and fp32 on cpu" in words
