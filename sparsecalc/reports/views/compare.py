"""What people read of `compare`: the models side by side with ratios to the first, and the conclusion."""

import re

from sparsecalc.documents.compare import CompareReport
from sparsecalc.documents.show import ModelReport
from sparsecalc.reports.view import Grid, View
from sparsecalc.reports.views.model_figures import Figure, figures, grid_tables


def view(document: CompareReport) -> View:
    """A row for each figure; of every model but the first, a column of ratios."""
    models = document.models
    headers = ["", models[0].model.id]
    for model in models[1:]:
        headers += [model.model.id, "ratio"]
    rows = [_plain("family", [f"{model.model.model_type} ({model.model.kind})" for model in models])]
    rows += _formats(models)
    rows += [_row(list(same)) for same in zip(*_level([list(figures(model)) for model in models]), strict=True)]
    grids = [*grid_tables(models), Grid(headers=headers, rows=rows)]
    return View(answer=[document.answer] if document.answer else [], grids=grids, lines=document.conclusion)


def _level(columns: list[list[Figure]]) -> list[list[Figure]]:
    """The figures of all models in the same rows: where only some have one, the others say none."""
    named = [{_key(figure): figure for figure in column} for column in columns]
    order: list[str] = []
    for column in named:
        at = 0
        for key in column:
            if key not in order:
                order.insert(at, key)
            at = order.index(key) + 1
    some = {key: figure for column in reversed(named) for key, figure in column.items()}
    return [[column.get(key) or Figure(some[key].label, "none") for key in order] for column in named]


def _key(figure: Figure) -> str:
    """What two models' figures have in common: the label up to its numbers and brackets."""
    return re.split(r"[\d(]", figure.label)[0].strip()


def _formats(models: list[ModelReport]) -> list[list[str]]:
    """A row of the weights' formats where they differ."""
    formats = [model.memory.weights_dtype for model in models]
    return [_plain("format of the weights", formats)] if len(set(formats)) > 1 else []


def _plain(label: str, texts: list[str]) -> list[str]:
    """A row without ratios."""
    return [label, texts[0], *(cell for text in texts[1:] for cell in (text, ""))]


def _row(same: list[Figure]) -> list[str]:
    """The same figure of every model."""
    base = same[0].value
    row = [_label(same), same[0].text]
    for figure in same[1:]:
        row += [figure.text, f"{figure.value / base:.2f}x" if base and figure.value is not None else ""]
    return row


def _label(same: list[Figure]) -> str:
    """One label for all models: where theirs differ, the part in brackets is left out."""
    label = same[0].label
    return label if all(figure.label == label for figure in same) else label.split(" (")[0]
