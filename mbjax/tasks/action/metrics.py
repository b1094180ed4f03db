"""How good a classifier is: numpy, for evaluation.

Shapes in names: N examples, K classes. A confusion matrix has true classes in rows.
"""

from collections.abc import Mapping, Sequence

import numpy as np


def top_k(scores_NxK: np.ndarray, labels_N: np.ndarray, k: int) -> float:
    """Share of examples whose class is among the k with the highest scores.

    Between equal scores the lower class number goes first.
    """
    k = min(k, scores_NxK.shape[1])
    best_Nxk = np.argsort(-scores_NxK, axis=1, kind="stable")[:, :k]
    return float((best_Nxk == np.asarray(labels_N)[:, None]).any(axis=1).mean())


def confusion_matrix(labels_N: np.ndarray, predicted_N: np.ndarray, classes: int) -> np.ndarray:
    """(K, K) counts: row = true class, column = predicted. ValueError for a label out of range."""
    for what, numbers in (("label", labels_N), ("prediction", predicted_N)):
        numbers = np.asarray(numbers)
        if len(numbers) and not (0 <= numbers.min() and numbers.max() < classes):
            wrong = numbers[(numbers < 0) | (numbers >= classes)][0]
            raise ValueError(f"{what} {wrong} is out of range: there are {classes} classes")
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (np.asarray(labels_N, int), np.asarray(predicted_N, int)), 1)
    return matrix


def per_class(confusion_KxK: np.ndarray) -> dict[str, np.ndarray]:
    """precision, recall, f1 and support of each class, (K,); 0 where there is nothing to divide."""
    right = np.diag(confusion_KxK).astype(np.float64)
    support, predicted = confusion_KxK.sum(axis=1), confusion_KxK.sum(axis=0)
    return {
        "precision": _share(right, predicted),
        "recall": _share(right, support),
        "f1": _share(2 * right, support + predicted),
        "support": support,
    }


def summary(confusion_KxK: np.ndarray) -> dict[str, float]:
    """accuracy; macro_f1, the mean over classes that occur; weighted_f1, weighted by support."""
    scores = per_class(confusion_KxK)
    support = scores["support"]
    total = max(int(support.sum()), 1)
    occurs = (support > 0) | (confusion_KxK.sum(axis=0) > 0)
    return {
        "accuracy": float(np.trace(confusion_KxK) / total),
        "macro_f1": float(scores["f1"][occurs].mean()) if occurs.any() else 0.0,
        "weighted_f1": float((scores["f1"] * support).sum() / total),
    }


def balanced_weights(labels_N: np.ndarray, classes: int) -> np.ndarray:
    """A weight for each class, (K,), inverse to its count, 1 on average over the examples.

    A class without examples has weight 0.
    """
    counts = np.bincount(labels_N, minlength=classes)
    return _share(len(labels_N) / max((counts > 0).sum(), 1), counts).astype(np.float32)


def _share(part, whole):
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)


def table(confusion_KxK: np.ndarray, names: Sequence[str]) -> str:
    """A line for each class that occurs: its name, precision, recall, F1 and support."""
    scores = per_class(confusion_KxK)
    width = max(5, *(len(name) for name in names))
    lines = [f"  {'class':{width}s}  precision  recall      F1  support"]
    for k, name in enumerate(names):
        if scores["support"][k] or confusion_KxK[:, k].sum():
            lines.append(
                f"  {name:{width}s}  {100 * scores['precision'][k]:8.1f}  "
                f"{100 * scores['recall'][k]:7.1f} {100 * scores['f1'][k]:7.1f} "
                f"{scores['support'][k]:8d}"
            )
    return "\n".join(lines)


def percentages(metrics: Mapping[str, float]) -> str:
    """'top-1 91.2 %, top-5 ...', for a person."""
    return ", ".join(f"{name.replace('_', ' ')} {100 * v:.1f} %" for name, v in metrics.items())
