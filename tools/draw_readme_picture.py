"""Draw the picture of README.md: the graph of a two-layer network's loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import chainrule as cr

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "two_layers.svg"


def loss(W1: np.ndarray, b1: np.ndarray, W2: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean squared error of a network with one hidden layer."""
    h = np.tanh(x @ W1 + b1)
    return np.mean((h @ W2 - y) ** 2)


def picture() -> str:
    """The graph as SVG."""
    return cr.trace(loss)(np.ones((3, 4)), np.ones(4), np.ones(4), np.ones((8, 3)), np.ones(8)).to_svg()


if __name__ == "__main__":
    PICTURE.write_text(picture())
