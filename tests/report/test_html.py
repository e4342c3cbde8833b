"""The HTML page: one file that asks for nothing, in which every picture can be seen, read and heard."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from codir.measure import Analysis, Comparison, HeadComparison, Latency, LayerAnalysis, ModelResult, calibrate
from codir.measure.analysis import ClosestHead, Disagreement, Projection, VectorSpread
from codir.report import RunResult, write_comparison, write_report, write_sweep
from codir.report.html.analysis import vector_charts
from codir.report.html.charts import Mark, bar_chart, heat_map, interval_chart, line_chart, scatter_chart
from codir.report.html.comparison import comparison_chart
from codir.report.html.svg import point, scale_over
from codir.report.html.templates import condition_in_words
from codir.report.words import render_page
from measure.test_comparison import SCORES, make_run
from report.chromium import Tab, find_chromium, opened_tab
from report.test_report import HOSTILE, LOG, judged
from report.test_sweep_report import EXPORTED, model, sweep_of

PARTS = (
    "91.2%",
    "6.9x",
    "77%",
    "codir demo",
    "model: teacher",
    "python 3.12, codir unknown",
    "student - teacher",
    "Quality on d.csv, 90 rows. Speed: batches of 32.",
    "Shuffled texts give 0.05.",
    "trained on 400 rows and scored on 60 others",
    "layer 1: layer 2 (12 of 12 heads)",
    "The two answer 12.5% of the rows differently.",
    "a text about films",
    "1.250",
    "-2.500",
)
PICTURES = 15
SIGHTS = ((360, "light", ""), (360, "dark", ""), (1200, "light", ""), (1200, "dark", ""), (720, "light", "print"))
"""Widths in pixels of a phone, a desk and a sheet of paper, the reader's colours, and the medium."""


class Page(HTMLParser):
    """What stands in a page: elements with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]


@pytest.fixture
def result() -> RunResult:
    """A run with everything that a page can show."""
    models = {
        name: ModelResult({"accuracy": score, "macro_f1": score}, size, 4 * size, rate, Latency(4.1, 5.2, 5.2, 90))
        for name, score, size, rate in (
            ("teacher", 0.91, 22_700_000, 203.0),
            ("student", 0.83, 17_400_000, 1403.0),
            ("baseline", 0.5, 17_400_000, 1402.0),
        )
    }
    run = RunResult(
        title="Distilled from teacher",
        task_name="films",
        primary_metric="accuracy",
        **models,
        agreement=0.9,
        baseline_agreement=0.85,
        conditions={"versions": {"python": "3.12", "codir": None}, "cores": 2, "command": "codir demo"},
        notes=("0.1% of the rows are longer than 64 tokens (`--max-length`).",),
        log_history=LOG,
        output_dir=None,
        recipe="teacher:\n  model: teacher\n",
    )
    return replace(judged(run, "negative", "positive"), analysis=analysis(["negative", "positive"]))


def analysis(classes: list[str], *, layers: tuple[int, int] = (6, 3), heads: int = 12, rows: int = 60) -> Analysis:
    """Random numbers of the right sizes."""
    rng = np.random.default_rng(0)
    groups = tuple(classes[row % len(classes)] for row in range(rows))
    models = ("teacher", "student")
    projections = {
        name: Projection(tuple((float(x), float(y)) for x, y in rng.normal(size=(rows, 2))), (0.61, 0.12))
        for name in models
    }
    sizes = [size + 1 for size in layers]
    probes = {name: tuple(map(float, rng.uniform(0.5, 0.9, size))) for name, size in zip(models, sizes, strict=True)}
    cka = tuple(tuple(map(float, row)) for row in rng.uniform(0.2, 1.0, sizes))
    spread = {name: VectorSpread(1.25, -2.5) for name in models}
    kept = tuple(tuple(map(float, row)) for row in rng.uniform(0.4, 1.0, (layers[0], heads)))
    closest = tuple(
        tuple(ClosestHead(0.75, layer + 2, head + 1) for head in range(heads)) for layer in range(layers[1])
    )
    one = Disagreement(7, "a text about films", "'positive'", "'negative'", "'positive'", 0.66)
    return Analysis(
        "accuracy",
        LayerAnalysis(rows, 400, cka, 0.05, probes, 0.5, spread, groups, projections),
        HeadComparison(kept, closest, 0.5, 32),
        0.125,
        (one, replace(one, row=9, text="w" * 300)),
        (),
    )


def page_of(result: RunResult, folder: Path) -> Page:
    write_report(result, folder)
    return Page((folder / "report.html").read_text("utf-8"))


# ---- What stands in it ----


def test_a_page_that_lacks_a_part(result, tmp_path):
    page = page_of(result, tmp_path)
    words = " ".join(page.text.split())
    for part in PARTS:
        assert part in words, part
    titles = re.findall(r"<title[^>]*>([^<]*)</title>", (tmp_path / "report.html").read_text("utf-8"))
    for part in ("Quality on 90 rows", "Total loss", "Hard label", "Contrastive", "Evaluation", "Sentences per second"):
        assert any(title.startswith(part) for title in titles), part
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels.count(1) == 1
    assert levels.count(2) == 9
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_a_run_of_which_little_is_known_has_no_page(result, tmp_path):
    bare = ModelResult({"pearson": 0.8}, 950, 4000, None)
    little = replace(
        result, primary_metric="pearson", teacher=bare, student=bare, baseline=None, judgement=None, speed={}
    )
    little = replace(little, log_history=[], notes=(), conditions={}, recipe="", training={}, data={}, analysis=None)
    page = page_of(little, tmp_path)
    assert "0.800 of 0.800" in page.text
    assert "To repeat it" not in page.text
    assert "What the layers hold" not in page.text


def test_a_page_that_explains_the_agreement_with_a_teacher_that_was_not_scored(result, tmp_path):
    alone = replace(result, teacher=None, agreement=None, baseline_agreement=None, judgement=None)
    page = page_of(alone, tmp_path)
    for text in (page.text, (tmp_path / "report.md").read_text()):
        assert "the file of its answers has not all evaluation rows" in text
        assert "Agreement with the teacher is" not in text


def test_probabilities_that_the_markdown_judges_and_the_page_does_not(result, tmp_path):
    found = calibrate(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 0]))
    page = page_of(replace(result, judgement=replace(result.judgement, calibration={"student": found})), tmp_path)
    for text in (page.text, (tmp_path / "report.md").read_text()):
        for part in ("45.0%", "0.325", "85.0%", "the model is too sure"):
            assert part in text, part
    assert "Brier" not in page_of(result, tmp_path / "without").text


def test_a_part_that_is_left_out_without_a_word(result, tmp_path):
    why = ("Layers are left out: <they> give no hidden states.", "Attention by head is left out.")
    nothing = replace(result.analysis, layers=None, heads=None, disagreements=(), left_out=why)
    page = page_of(replace(result, analysis=nothing), tmp_path)
    for sentence in why:
        assert sentence in page.text
    assert "Attention kept and lost" not in page.text
    assert "Where student and teacher disagree" not in page.text


def test_a_text_that_is_shown_although_texts_are_left_out(result, tmp_path):
    rows = tuple(replace(one, text=None) for one in result.analysis.disagreements)
    page_of(replace(result, analysis=replace(result.analysis, disagreements=rows)), tmp_path)
    page, read = (tmp_path / "report.html").read_text(), json.loads((tmp_path / "report.json").read_text())
    for one in result.analysis.disagreements:
        assert one.text not in page
        assert f'<th scope="row">{one.row}</th>' in page
    assert [one["text"] for one in read["analysis"]["disagreements"]] == [None] * len(rows)


def test_an_analysis_that_a_program_cannot_read(result, tmp_path):
    page_of(result, tmp_path)
    read = json.loads((tmp_path / "report.json").read_text("utf-8"))["analysis"]
    assert read["layers"]["cka"] == [list(row) for row in result.analysis.layers.cka]
    assert read["heads"]["closest"][0][0] == {"cosine": 0.75, "layer": 2, "head": 1}
    assert read["disagreements"][0]["distance"] == 0.66


def test_classes_without_a_colour_of_their_own():
    names = [f"class {number}" for number in range(9)]
    charts = vector_charts(analysis(names + names[4:8], rows=130).layers)
    legend = re.findall(r"</svg>([^<]+)</li>", charts[0].legend)
    assert legend[:-1] == sorted(legend[:-1])
    assert legend[-1] == "other classes"
    assert {*legend[:-1]} >= {*names[4:8]}
    assert charts[0].picture.count("fill5") == 40
    assert len(re.findall(r'class="fill\d"', charts[0].picture)) == 130


def test_a_picture_that_a_blind_reader_does_not_hear_of(result, tmp_path):
    text = (page_of(result, tmp_path), (tmp_path / "report.html").read_text("utf-8"))[1]
    page = Page(text)
    pictures = [one for one in page.all("svg") if one.get("aria-hidden") is None]
    assert len(pictures) == PICTURES
    for picture in pictures:
        assert picture["role"] == "img"
        for name in ("aria-labelledby", "aria-describedby"):
            found = re.search(rf'id="{picture[name]}">([^<]+)<', text)
            assert found, picture
            assert len(found[1]) > 5
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_a_label_that_the_page_obeys(result, tmp_path):
    hostile = replace(result, title=HOSTILE, task_name=HOSTILE, notes=(HOSTILE,), conditions={HOSTILE: HOSTILE})
    hostile = judged(replace(hostile, recipe=HOSTILE), HOSTILE, "other")
    log = [{"step": 1, "loss/<script>": 1.0, "loss": 2.0}]
    page = page_of(replace(hostile, log_history=log, data={"train": {"source": HOSTILE, "rows": 9}}), tmp_path)
    assert not page.all("script")
    assert not page.all("a")
    assert not page.all("b")
    assert "\x1b" not in page.text
    assert "<script>x</script>" in page.text


def test_a_page_that_could_ask_for_something(result, tmp_path):
    page = page_of(result, tmp_path)
    (policy,) = [one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    links = [
        value for _, of in page.elements for name, value in of.items() if name in ("src", "href", "srcset", "data")
    ]
    assert links == ["data:,"]
    assert "@import" not in page.text
    assert "url(" not in page.text


def test_two_pages_of_one_result_that_differ(result, tmp_path):
    pages = [page_of(result, tmp_path / name).elements for name in ("one", "two")]
    assert pages[0] == pages[1]


# ---- Comparisons ----


@pytest.fixture
def comparison() -> Comparison:
    runs = [make_run(preset, seed, score) for preset, of in SCORES.items() for seed, score in enumerate(of)]
    on = {"heldout": "accuracy", "dev": "accuracy_dev"}
    return Comparison(runs, "fine-tune", "accuracy", on, {"accuracy": 0.9, "accuracy_dev": 0.8}, {}, ["moco: broke"])


def test_a_comparison_whose_page_lacks_a_part(comparison, tmp_path):
    hostile = replace(comparison.runs[0], preset="<b>x</b>")
    write_comparison(replace(comparison, runs=[*comparison.runs, hostile]), tmp_path)
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    for part in (
        "Presets compared on reviews.csv",
        "3-layers, heldout",
        "3-layers, dev",
        "83.00 ± 2.48",
        "moco: broke",
    ):
        assert part in page.text, part
    assert "*teacher*" not in page.text
    assert not page.all("b")
    assert "<b>x</b>" in page.text


def test_seeds_intervals_or_teacher_in_another_place(comparison):
    picture = comparison_chart(comparison, "3-layers", "heldout", 0).picture
    names = re.findall(r"text-anchor=\"end\">([^<]+)", picture)
    assert names == ["kd", "codir", "fine-tune"]  # best on top
    seeds = numbers(picture, r'cx="([\d.]+)" cy="([\d.]+)" r="2"')
    means = numbers(picture, r'cx="([\d.]+)" cy="([\d.]+)" r="4.5"')
    whiskers = numbers(picture, r'd="M([\d.]+) .*?H([\d.]+)m')
    values = np.array([SCORES[name] for name in names])
    slope, start = np.polyfit(values.ravel(), seeds[:, 0], 1)
    assert seeds[:, 0] == pytest.approx(slope * values.ravel() + start, abs=0.1)
    assert means[:, 0] == pytest.approx(slope * values.mean(axis=1) + start, abs=0.1)
    half = 4.303 * values.std(axis=1, ddof=1) / np.sqrt(3)
    assert whiskers[:, 1] - whiskers[:, 0] == pytest.approx(2 * slope * half, abs=0.3)
    (teacher,) = re.findall(r'<line x1="([\d.]+)"[^>]*class="reference"', picture)
    assert float(teacher) == pytest.approx(slope * 0.9 + start, abs=0.1)


@pytest.mark.parametrize(("teacher", "near"), [(0.9, True), (0.999, False), (0.5, False)])
def test_a_teacher_so_far_away_that_presets_are_one_dot(comparison, teacher, near):
    far = replace(comparison, teacher={"accuracy": teacher, "accuracy_dev": 0.8})
    chart = comparison_chart(far, "3-layers", "heldout", 0)
    assert ("reference" in chart.picture) == near
    assert (f"The teacher has {100 * teacher:.4g}" in chart.note) != near


# ---- Numbers of the pictures ----


def numbers(svg: str, pattern: str) -> np.ndarray:
    return np.array([[float(part) for part in found.groups()] for found in re.finditer(pattern, svg)])


def test_a_line_that_lies_elsewhere_than_its_numbers():
    steps, losses = [1, 2, 5, 9], [4.0, 2.0, 3.0, 1.0]
    chart = line_chart("one", "One", {"loss": (steps, losses)}, across="step", up="loss")
    dots = numbers(chart.picture, r'<circle cx="([\d.]+)" cy="([\d.]+)"')
    assert len(dots) == 4
    for drawn, given in ((dots[:, 0], steps), (-dots[:, 1], losses)):
        slope, _ = np.polyfit(given, drawn, 1)
        assert slope > 0
        assert np.corrcoef(given, drawn)[0, 1] > 0.9999


def test_a_loss_that_is_no_number_breaks_a_line():
    chart = line_chart("one", "One", {"loss": ([1, 2, 3], [1.0, float("nan"), 2.0])}, across="step", up="loss")
    assert "nan" not in chart.picture
    assert chart.picture.count("<circle") == 2


def test_a_long_log_that_makes_a_page_heavy_or_loses_its_end():
    steps = list(range(1, 20_002))
    picture = line_chart(
        "one", "One", {"loss": (steps, [1 / step for step in steps])}, across="step", up="loss"
    ).picture
    assert len(picture) < 8000
    (line,) = re.findall(r'points="([^"]+)"', picture)
    assert line.split()[-1].startswith("316.0,")
    assert picture.count("<circle") == 1


def test_a_bar_of_another_length_than_its_number():
    chart = bar_chart("one", "One", [Mark("a", 10.0, "10"), Mark("b", 40.0, "40")])
    assert np.divide(*numbers(chart.picture, r'<rect [^>]*?width="([\d.]+)"')[:, 0]) == pytest.approx(0.25, abs=0.01)


def test_a_dot_outside_its_interval():
    chart = interval_chart("one", "One", [Mark("a", 5.0, "5", 4.0, 7.0), Mark("b", 1.0, "1")], across="score")
    (low, high), (dot, _) = (
        numbers(chart.picture, r"M([\d.]+) .*?H([\d.]+)m")[0],
        numbers(chart.picture, r'<circle cx="([\d.]+)" cy="([\d.]+)"')[0],
    )
    assert (dot - low) / (high - low) == pytest.approx(1 / 3, abs=0.02)


def test_a_cell_in_another_place_than_its_number():
    chart = heat_map("one", "One", [[0.1, 0.2], [0.3, 1.0]], rows="01", columns="ab", down="r", across="c", unit="u")
    cells = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)"[^>]*fill-opacity="([\d.]+)"><title>([^<]+)', chart.picture)
    assert [cell[3] for cell in cells] == [
        "u 0.10: r 0, c a",
        "u 0.20: r 0, c b",
        "u 0.30: r 1, c a",
        "u 1.00: r 1, c b",
    ]
    assert [float(cell[2]) for cell in cells] == pytest.approx([0.0, 0.11, 0.22, 1.0], abs=0.01)
    assert float(cells[0][1]) > float(cells[2][1])
    assert float(cells[0][0]) < float(cells[1][0])


def test_points_of_one_group_in_the_colour_of_another():
    chart = scatter_chart("one", "One", {"a": [(0.0, 0.0)], "b": [(1.0, 1.0), (2.0, 2.0)]}, across="x", up="y")
    assert (chart.picture.count("fill0"), chart.picture.count("fill1")) == (1, 2)
    assert chart.legend.index(">a<") < chart.legend.index(">b<")


def test_two_of_many_series_that_look_the_same():
    marks = [re.sub(r' (?:cx|cy|x|y)="[^"]*"', "", point(series, 0.0, 0.0)) for series in range(36)]
    assert len({*marks}) == 36


@pytest.mark.parametrize("values", [[], [0.0], [5.0, 5.0], [-3.0, 1e-9], [1e6, 3e6], [0.8279, 0.8281]])
def test_a_scale_on_which_nothing_can_be_drawn(values):
    scale = scale_over(values, 0.0, 100.0)
    assert len(scale.ticks) >= 2
    assert all(0.0 <= scale(value) <= 100.0 for value in values)


@pytest.mark.parametrize("values", [[0.875, 0.87492], [0.0, 0.0], [87.5, 87.5001]])
def test_numbers_that_are_all_but_equal_and_fill_a_chart_with_their_rounding(values):
    scale = scale_over(values, 0.0, 100.0)
    assert abs(scale(values[0]) - scale(values[1])) < 1
    assert all(len(f"{tick:g}") <= 5 for tick in scale.ticks)


def test_a_condition_that_is_shown_as_python_writes_it():
    assert "**instruction_sets**: AVX2, VNNI\n" in render_page(
        "t", [], conditions={"instruction_sets": ["AVX2", "VNNI"]}
    )
    assert condition_in_words([]) == "none"


# ---- In a browser ----

SEEN = """[...document.querySelectorAll('figure > svg')].map(svg => {
  const box = svg.getBoundingClientRect(), texts = [...svg.querySelectorAll('text')].filter(text => text.textContent);
  const boxes = texts.map(text => text.getBoundingClientRect());
  const near = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 4 && b.top < a.bottom - 4;
  const over = [], out = [];
  boxes.forEach((a, i) => {
    if (a.left < box.left - 1 || a.right > box.right + 1 || a.bottom > box.bottom + 1) out.push(texts[i].textContent);
    boxes.slice(0, i).forEach((b, j) => near(a, b) && over.push(texts[j].textContent + ' | ' + texts[i].textContent));
  });
  return {name: svg.querySelector('title').textContent, left: box.left, right: box.right, width: box.width,
          height: box.height, shown: svg.checkVisibility({opacityProperty: true, visibilityProperty: true}),
          letter: texts.length ? Math.min(...boxes.map(box => box.height)) : 99, over, out};
})"""


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    if find_chromium() is None:
        pytest.skip("needs Chromium: install it, or name it in CODIR_CHROMIUM")
    with opened_tab() as tab:
        yield tab


def check_in_browser(tab: Tab, page: Path, pictures: int) -> None:
    """No request, no complaint, nothing wider than the window, every picture in sight, no label over another."""
    for width, scheme, media in SIGHTS:
        tab.open(page, width=width, scheme=scheme, media=media)
        assert tab.requests() == [page.as_uri()]
        assert tab.complaints() == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        seen = tab.evaluate(SEEN)
        assert len(seen) == pictures
        for one in seen:
            assert one["shown"], one
            assert one["left"] >= 0, one
            assert one["right"] <= width, one
            assert one["width"] >= 250, one
            assert one["height"] >= 40, one
            assert one["letter"] >= 8, one
            assert one["over"] == [], one
            assert one["out"] == [], one


def test_a_page_that_asks_complains_or_hides_a_picture(result, tmp_path, tab):
    page_of(result, tmp_path)
    check_in_browser(tab, tmp_path / "report.html", pictures=PICTURES)


def test_a_large_model_of_many_classes_that_does_not_fit(result, tmp_path, tab):
    names = [
        f"{word} of the year" for word in ("film", "book", "record", "exhibition", "concert", "play", "restaurant")
    ]
    large = replace(judged(result, *names), analysis=analysis(names, layers=(24, 12), heads=16))
    page_of(large, tmp_path)
    check_in_browser(tab, tmp_path / "report.html", pictures=PICTURES)


def test_scores_that_do_not_fit(result, tmp_path, tab):
    models = {
        name: replace(getattr(result, name), metrics={"pearson": score}, sentences_per_second=123_456.7)
        for name, score in (("teacher", 0.912), ("student", 0.871), ("baseline", -0.02))
    }
    found = replace(analysis(["lowest third", "middle third", "highest third"]), metric="pearson", differing=None)
    scores = replace(result, **models, primary_metric="pearson", judgement=None, analysis=found)
    log = [{"step": 1000 * step, "loss": 1e-6 * step, "eval_pearson": -0.1 * step} for step in range(1, 4)]
    page_of(replace(scores, log_history=log), tmp_path)
    check_in_browser(tab, tmp_path / "report.html", pictures=12)


def test_a_comparison_that_does_not_fit(comparison, tmp_path, tab):
    contestants = [f"preset with a long name {number}" for number in range(20)]
    more = [replace(run, preset=name, student=student) for name in contestants for student in ("two", "narrow")
            for run in comparison.runs[:3]]  # fmt: skip
    floor = {"floor_name": "largest class", "floor": {"accuracy": 0.5, "accuracy_dev": 0.5}}
    found = replace(comparison, runs=[*comparison.runs, *more], conditions={"command": "codir compare"}, **floor)
    write_comparison(found, tmp_path)
    check_in_browser(tab, tmp_path / "report.html", pictures=6)


def test_a_sweep_that_does_not_fit(tmp_path, tab):
    names = [f"{depth}-layers of a long name" for depth in range(8, 0, -1)]
    students = [model(name, 0.8 + 0.005 * place, (4.0 - place, 2.0, 5.0), 10**7) for place, name in enumerate(names)]
    write_sweep(sweep_of(*students, exported=EXPORTED), tmp_path)
    check_in_browser(tab, tmp_path / "report.html", pictures=9)


def test_a_browser_that_sees_no_fault(tmp_path, tab):
    page = tmp_path / "page.html"
    page.write_text(
        "<!DOCTYPE html><title>x</title><img src=missing.png><script>console.error('oh')</script><figure>"
        "<svg width=100 height=50><title>t</title><text x=10 y=20>one</text><text x=12 y=20>two</text></svg></figure>"
    )
    tab.open(page, width=360)
    assert tab.requests() == [page.as_uri(), (tmp_path / "missing.png").as_uri()]
    assert any("oh" in complaint for complaint in tab.complaints())
    assert tab.evaluate(SEEN)[0]["over"] == ["one | two"]


def test_a_dark_page_that_blinds(result, tmp_path, tab):
    page_of(result, tmp_path)
    ground = {}
    for scheme, media in (("light", ""), ("dark", ""), ("dark", "print")):
        tab.open(tmp_path / "report.html", width=1200, scheme=scheme, media=media)
        ground[scheme, media] = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground["light", ""] == ground["dark", "print"] == "rgb(255, 255, 255)"
    assert ground["dark", ""] == "rgb(20, 23, 26)"
