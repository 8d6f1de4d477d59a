"""The page that ``chainrule train`` writes: what was read, how training went, how good the model is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import plot
from chainrule.analysis import ConvergenceReport
from chainrule.cli.judged import Row, confusion, predictions
from chainrule.cli.predictor import Predictor
from chainrule.cli.table import Part, Survey
from chainrule.study.model import Figure, Table
from chainrule.study.report import filled
from chainrule.train import Fit

SHOWN = 20  # classes and columns in a table
DRAWN = 1e100  # larger numbers, of trainings that diverged, have no place in a picture

METRICS = {
    "accuracy": "share of rows whose class is predicted",
    "macro_f1": "mean over the classes of the harmonic mean of precision and recall",
    "majority": "accuracy of always predicting the most frequent class",
    "log_loss": "mean of minus the logarithm of the probability of the true class",
    "r2": "share of the variance that is explained; 0 is the mean, 1 is perfect",
    "rmse": "root of the mean squared error, in units of the target",
    "mae": "mean absolute error, in units of the target",
}
"""What each metric is, in words."""


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    id: str
    title: str
    text: str
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()


def page(
    name: str,
    s: Survey,
    p: Predictor,
    fit: Fit,
    test: Part,
    scores: dict[str, dict[str, float]],
    converged: Sequence[Row],
    theory: ConvergenceReport | None = None,
) -> str:
    """The page as HTML."""
    found = predictions(p, test)[1]
    sections = [_results(p, test, found, scores), _training(fit), _convergence(converged, theory), _data(s)]
    first = next(iter(scores["test"].items()))
    score = f"{first[0]} {first[1]:.4g} on {len(test.y)} rows it has not seen"
    lead = f"{name} predicts {s.target.name} from {len(s.names)} features: {score}."
    return filled("train.html.jinja", {"title": f"Training of {s.target.name}", "lead": lead, "sections": sections})


def _results(p: Predictor, test: Part, found: Any, scores: dict[str, dict[str, float]]) -> Section:
    rows = [[k, scores["train"][k], v, METRICS[k]] for k, v in scores["test"].items()]
    tables = [Table("On the rows of training and on those held out", ["Metric", "Training", "Test", "Meaning"], rows)]
    if p.classes is None:
        if not np.abs(found).max() < DRAWN:
            return Section("results", "Results", "The predictions are too large to be drawn.", (), tables)
        fig, _ = plot.predicted(test.y, found, "Predictions on held-out rows", p.facts["target"])
        alt = f"predicted against true {p.facts['target']}; R squared {scores['test']['r2']:.3g}"
        return Section(
            "results", "Results", "", [Figure(plot.svg(fig, "predicted"), "On the line, a prediction is right.", alt)], tables
        )
    k = min(len(p.classes), SHOWN)
    counts = confusion(test.y, found, len(p.classes))[:k, :k]
    head = ["True \\ predicted", *[str(c) for c in p.classes[:k]]]
    body = [[str(c), *[int(n) for n in row]] for c, row in zip(p.classes[:k], counts, strict=True)]
    cut = "" if k == len(p.classes) else f", the first {k} of {len(p.classes)} classes"
    tables.append(Table(f"How often a class (row) was taken for another (column){cut}", head, body))
    return Section("results", "Results", "", (), tables)


def _training(fit: Fit) -> Section:
    h = fit.history
    epochs = np.arange(1, len(h) + 1)
    names = {"loss": "training, during the epoch", "val_loss": "test, after the epoch"}
    series = {label: (epochs, np.where(np.abs(h[c]) < DRAWN, h[c], np.nan)) for c, label in names.items() if c in h.columns}
    positive = all(np.all(ys[np.isfinite(ys)] > 0) for _, ys in series.values())
    fig, _ = plot.curves(series, "Learning curves", "epoch", "loss", yscale="log" if positive else "linear")
    last = ", ".join(f"{label} {h[c][-1]:.4g}" for c, label in names.items() if c in h.columns)
    figure = Figure(plot.svg(fig, "curves"), "Mean loss per example, epoch by epoch.", f"loss against epoch; at the end: {last}")
    keep = sorted({round(k) for k in np.linspace(0, len(h) - 1, min(len(h), SHOWN))})
    rows = [[str(k + 1), *[float(c[k]) for c in h.columns.values()]] for k in keep]
    text = str(fit.report).split("\n\n")[0].replace("\n", ". ") + "."
    return Section("training", "Training", text, [figure], [Table("The numbers", ["epoch", *h.columns], rows)])


def _convergence(rows: Sequence[Row], report: ConvergenceReport | None) -> Section:
    text = "Measured on the training objective itself, without noise from batches. At a minimum its gradient is zero."
    tables = [Table("Where training ended", ["Quantity", "Value", "Meaning"], rows)]
    if report is None:
        return Section("convergence", "Convergence", text, (), tables)
    tables += [_hypotheses(report), _curves(report)]
    fig, _ = report.plot()
    last = f"after {len(report.measured) - 1} steps {report.measured[-1]:.3g}"
    figure = Figure(
        plot.svg(fig, "convergence"), "What gradient descent does, what could happen at worst, and what is promised.",
        f"{report.quantity} against the step, {last}, under its worst case and the bound of the theorem",
    )  # fmt: skip
    return Section("convergence", "Convergence", f"{text}\n\n{_theorem(report)}", [figure], tables)


def _theorem(r: ConvergenceReport) -> str:
    """What theory says, in a paragraph."""
    lead = "The model is linear in its parameters, so theory speaks of it. Gradient descent with the step 1/L"
    ending = f"{lead} from the same start: {r.ending}."
    if r.theorem is None or not r.applies:
        failed = "; ".join(str(h) for h in r.hypotheses if not h.holds)
        return f"{ending} No theorem applies ({failed})."
    return f"{ending} The theorem on {r.theorem.name} functions applies: {r.theorem.statement}. {r.theorem.source}."


def _hypotheses(r: ConvergenceReport) -> Table:
    verdicts = [("proved" if h.proved else "seen") if h.holds else "fails" for h in r.hypotheses]
    rows = [[h.name, v, h.why] for h, v in zip(r.hypotheses, verdicts, strict=True)]
    return Table("What the theorem assumes, and what the run shows of it", ["Hypothesis", "Verdict", "Numbers"], rows)


def _curves(r: ConvergenceReport) -> Table:
    last = len(r.measured) - 1
    keep = sorted({0, last, *np.geomspace(1, max(last, 1), 10).astype(int).tolist()} & set(range(last + 1)))
    rows = [[str(k), float(r.measured[k]), float(r.certificate[k]), float(r.bound[k])] for k in keep]
    return Table(f"Gradient descent: {r.quantity}", ["Step", "Measured", "Worst case", "Bound"], rows)


def _data(s: Survey) -> Section:
    kinds = [[c.name, "text" if c.text else "number", str(c.missing), str(len(c.values)) if c.text else "—"] for c in s.features]
    size = f"{s.rows:,} rows, {len(s.features)} columns and the target {s.target.name}."
    text = f"{size} Columns were brought to mean 0 and variance 1."
    cut = "" if len(kinds) <= SHOWN else f", the first {SHOWN} of {len(kinds)}"
    return Section("data", "Data", text, (), [Table(f"Columns{cut}", ["Column", "Kind", "Missing", "Values"], kinds[:SHOWN])])
