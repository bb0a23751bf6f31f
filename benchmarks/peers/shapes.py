"""The jobs that every peer runs: for each pipe the numbers of those that it reads from."""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable
from time import perf_counter

LAYERS = 20


def edges(shape: str, size: int) -> list[list[int]]:
    """Return the producers of each pipe; a pipe comes after all of its producers."""
    if shape == "chain":
        return [[node - 1] if node else [] for node in range(size)]
    if shape == "fan":
        return [[0] if node else [] for node in range(size)]
    chance, width = random.Random(7), max(1, size // LAYERS)
    return [
        sorted(chance.sample(range(start - width, start), min(3, width)))
        if (start := node - node % width) >= width
        else []
        for node in range(size)
    ]


def main(peer: str, version: str, note: str, prepare: Callable[[list[list[int]]], Callable[[], object]]) -> None:
    """Time one run after a small one, and print it as a line of JSON.

    Args:
        prepare: declares the pipes of a job and returns what runs them.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=["chain", "fan", "layers"], required=True)
    parser.add_argument("--size", type=int, required=True)
    options = parser.parse_args()
    prepare(edges(options.shape, 20))()
    started = perf_counter()
    run = prepare(edges(options.shape, options.size))
    declared = perf_counter() - started
    started = perf_counter()
    run()
    seconds = perf_counter() - started
    print(
        json.dumps(
            {
                "peer": peer,
                "version": version,
                "shape": options.shape,
                "size": options.size,
                "declare_seconds": declared,
                "seconds": seconds,
                "per_pipe_us": seconds / options.size * 1e6,
                "note": note,
            }
        )
    )
