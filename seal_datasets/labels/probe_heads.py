"""The heads of a probe: regularised logistic regressions of gold labels on embeddings, cross-fitted by prompt."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from seal_datasets.errors import import_extra
from seal_datasets.estimate.linear import one_blas_thread
from seal_datasets.labels.design import Floats

Codes = NDArray[np.int64]

N_FOLDS = 10
"""Parts of the prompts; each part is labelled by heads that are trained on the others."""

_INNER_FOLDS = 4
_PENALTIES = (0.03, 0.3, 3.0, 30.0)
_LEAST_PROBABILITY = 1e-6
_LOG_TEMPERATURES = (-1.6, 1.6)


@dataclass(frozen=True, slots=True)
class CrossFittedHead:
    """One head for each part of the prompts, trained on gold labels of the other parts.

    A gold label never takes part in the head that labels its own prompt, and texts without gold labels are treated alike. So
    the labels of a part are those of one fixed head, whichever of its prompts are gold, as design-based corrections need.

    Attributes:
        basis (`ndarray` of shape (d, r)): Directions in which gold texts differ. Ridge penalties leave all others out.
        parts (`tuple`): By part of the prompts, the fitted head.
        n_answers (`int`): Number of answers.

    Source: cross-fitting as in Zrnic and Candes (2024), arXiv 2309.16598.
    """

    basis: Floats
    parts: tuple[_Head, ...]
    n_answers: int

    def predict(self, inputs: Floats, folds: Codes) -> Floats:
        """Probabilities of each answer.

        Args:
            inputs (`ndarray` of shape (n, d)): What is known of each text.
            folds (`ndarray` of shape (n,)): Part of each text's prompt, from 0.

        Returns:
            `ndarray` of shape (n, n_answers): Probabilities that sum to 1.
        """
        probabilities, inputs = np.empty((len(inputs), self.n_answers)), inputs @ self.basis
        for fold in np.unique(folds):
            rows = folds == fold
            probabilities[rows] = self.parts[fold].predict(inputs[rows])
        return probabilities


def fit_head(inputs: Floats, answers: Codes, folds: Codes, n_answers: int) -> CrossFittedHead:
    """Fit the heads of one feature.

    Each head's penalty has the least log loss within its own training prompts. A temperature calibrates its probabilities.

    Args:
        inputs (`ndarray` of shape (n, d)): What is known of each gold text; columns of comparable size.
        answers (`ndarray` of shape (n,)): Number of each text's gold answer, from 0.
        folds (`ndarray` of shape (n,)): Part of each text's prompt, from 0 to `N_FOLDS` - 1.
        n_answers (`int`): Number of answers.

    Returns:
        `CrossFittedHead`: The heads; one whose training texts all have one answer always gives their shares.

    Example:

    ```python
    >>> rng = np.random.default_rng(0)
    >>> inputs = rng.normal(size=(200, 3))
    >>> answers, folds = (inputs[:, 0] > 0).astype(int), np.arange(200) // 2 % N_FOLDS
    >>> head = fit_head(inputs, answers, folds, 2)
    >>> bool((head.predict(inputs, folds).argmax(axis=1) == answers).mean() > 0.9)
    True

    ```
    """
    # A text has hundreds of numbers; of few gold texts, as many directions matter as there are texts.
    basis = np.linalg.svd(inputs, full_matrices=False)[2].T
    inputs = inputs @ basis
    with one_blas_thread():  # many small fits, in which threads only wait for one another
        parts = tuple(
            _fit(inputs[folds != fold], answers[folds != fold], folds[folds != fold], n_answers)
            for fold in range(N_FOLDS)
        )
    return CrossFittedHead(basis, parts, n_answers)


@dataclass(frozen=True, slots=True)
class _Head:
    """A fitted regression, or the shares that stand for one where a single answer was seen."""

    model: Any
    shares: Floats
    temperature: float = 1.0

    def predict(self, inputs: Floats) -> Floats:
        if self.model is None:
            return np.broadcast_to(self.shares, (len(inputs), len(self.shares)))
        return _at_temperature(_probabilities(self.model, inputs, len(self.shares)), self.temperature)


def _fit(inputs: Floats, answers: Codes, folds: Codes, n_answers: int) -> _Head:
    counts = np.bincount(answers, minlength=n_answers)
    shares = counts / max(counts.sum(), 1) if counts.any() else np.full(n_answers, 1 / n_answers)
    if (counts > 0).sum() < 2:
        return _Head(None, shares)
    inner = np.searchsorted(np.unique(folds), folds) % _INNER_FOLDS
    best = min(
        (_held_out(inputs, answers, inner, penalty, n_answers) for penalty in _PENALTIES), key=lambda found: found[0]
    )
    _, penalty, held_out = best
    found = minimize_scalar(
        lambda size: _log_loss(_at_temperature(held_out, np.exp(size)), answers),
        bounds=_LOG_TEMPERATURES,
        method="bounded",
    )
    return _Head(_regress(inputs, answers, penalty), shares, float(np.exp(found.x)))


def _held_out(
    inputs: Floats, answers: Codes, inner: Codes, penalty: float, n_answers: int
) -> tuple[float, float, Floats]:
    """Log loss at a penalty within the training prompts, the penalty, and the probabilities behind the loss."""
    probabilities = np.empty((len(inputs), n_answers))
    for fold in np.unique(inner):
        rows = inner == fold
        if len(np.unique(answers[~rows])) < 2:
            counts = np.bincount(answers[~rows], minlength=n_answers)
            probabilities[rows] = counts / counts.sum() if counts.any() else 1 / n_answers
        else:
            model = _regress(inputs[~rows], answers[~rows], penalty)
            probabilities[rows] = _probabilities(model, inputs[rows], n_answers)
    return _log_loss(probabilities, answers), penalty, probabilities


def _regress(inputs: Floats, answers: Codes, penalty: float) -> Any:  # noqa: ANN401 - a model of scikit-learn
    library = import_extra("sklearn.linear_model", purpose="train the heads of a probe")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence; a looser fit is judged by its held-out loss like any other
        return library.LogisticRegression(C=penalty, max_iter=100).fit(inputs, answers)


def _probabilities(model: Any, inputs: Floats, n_answers: int) -> Floats:  # noqa: ANN401 - a model of scikit-learn
    probabilities = np.zeros((len(inputs), n_answers))
    probabilities[:, model.classes_] = model.predict_proba(inputs)
    return probabilities


def _at_temperature(probabilities: Floats, temperature: float) -> Floats:
    logits = np.log(np.maximum(probabilities, _LEAST_PROBABILITY)) / temperature
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float64)


def _log_loss(probabilities: Floats, answers: Codes) -> float:
    given = probabilities[np.arange(len(answers)), answers]
    return float(-np.log(np.maximum(given, _LEAST_PROBABILITY)).mean())
