"""Seeded workloads as documents: chains, trees, diamonds and other graphs, one to ten modules, tight to loose.

Half of the latency tables of `workload` are those of real models, measured on one CPU thread at batch 1, 4 and 16 and
scaled for each device class; the other half are lines with noise. Those of `gpu_workload` are real ones of real GPUs.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from support.gpu_latencies import BATCH_MS, PRICES

Document = dict[str, object]

MEASURED = {
    "embedder": (8.5, 13.0, 38.0),
    "onet": (1.6, 3.7, 10.0),
    "age": (3.9, 8.6, 29.0),
    "mobilenet": (6.4, 24.4, 97.0),
}
"""What one batch of 1, 4 and 16 takes, milliseconds on one CPU thread: between them it is a line."""
TIGHTNESS = (1.0001, 1.05, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0)
GRAPHS = ("chain", "tree", "diamond", "general")


def workload(seed: int, graph: str | None = None, modules: int | None = None) -> Document:
    """The workload of a seed."""
    rng = random.Random(seed)
    count = modules or rng.randint(1, 10)
    prices = {f"d{index}": round(rng.uniform(0.2, 3.0), 2) for index in range(rng.randint(1, 4))}
    largest = rng.choice([8, 16, 32])
    return _drawn(rng, graph, count, lambda: _configurations(rng, prices, largest))


def gpu_workload(seed: int, graph: str | None = None, modules: int | None = None) -> Document:
    """The workload of a seed on some of the GPUs of `gpu_latencies`."""
    rng = random.Random(seed)
    count = modules or rng.randint(1, 10)
    gpus = rng.sample(sorted(PRICES), rng.randint(1, len(PRICES)))
    return _drawn(rng, graph, count, lambda: _on_gpus(BATCH_MS[rng.choice(sorted(BATCH_MS))], gpus))


def _drawn(rng: random.Random, graph: str | None, count: int, table: Callable[[], list[Document]]) -> Document:
    inputs = _inputs(rng, graph or rng.choice(GRAPHS), count)
    rate = 10 ** rng.uniform(1, 3)
    listed: list[Document] = []
    least: dict[str, float] = {}
    for index, before in enumerate(inputs):
        configurations = table()
        name = f"m{index}"
        listed.append(
            {
                "name": name,
                "inputs": before,
                "rate": rate * rng.choice([0.5, 1, 1, 1, 2, 3]),
                "configurations": configurations,
            }
        )
        shortest = min(float(str(each["latency_ms"])) for each in configurations)
        least[name] = 2 * shortest + max((least[each] for each in before), default=0.0)
    return {
        "objective_ms": max(least.values()) * rng.choice(TIGHTNESS) * rng.uniform(1.0, 1.1),
        "modules": listed,
    }


def _inputs(rng: random.Random, graph: str, count: int) -> list[list[str]]:
    if graph == "chain":
        return [[f"m{index - 1}"] if index else [] for index in range(count)]
    if graph == "tree":
        return [[f"m{rng.randrange(index)}"] if index else [] for index in range(count)]
    if graph == "diamond":
        middle = [f"m{index}" for index in range(1, count - 1)]
        return [[] if not index else middle if index == count - 1 and middle else ["m0"] for index in range(count)]
    return [
        [f"m{each}" for each in sorted(rng.sample(range(index), min(index, rng.randint(rng.random() > 0.3, 3))))]
        for index in range(count)
    ]


def _configurations(rng: random.Random, prices: dict[str, float], largest: int) -> list[Document]:
    batch_ms = _measured(rng) if rng.random() < 0.5 else _line(rng)
    configurations: list[Document] = []
    for device, price in prices.items():
        speed = price ** rng.uniform(0.6, 1.3) * rng.uniform(0.5, 2.0)
        batch = 1
        while batch <= largest:
            latency_ms = batch_ms(batch) / speed * rng.uniform(0.95, 1.05)
            configurations.append({"device": device, "price": price, "batch": batch, "latency_ms": latency_ms})
            batch *= 2
    return configurations


def _on_gpus(batch_ms: dict[str, tuple[float, ...]], gpus: list[str]) -> list[Document]:
    return [
        {"device": gpu, "price": PRICES[gpu], "batch": batch, "latency_ms": latency_ms}
        for gpu in gpus
        for batch, latency_ms in enumerate(batch_ms[gpu], 1)
    ]


def _measured(rng: random.Random) -> Callable[[int], float]:
    one, four, sixteen = MEASURED[rng.choice(sorted(MEASURED))]

    def batch_ms(batch: int) -> float:
        return one + (four - one) * (batch - 1) / 3 if batch <= 4 else four + (sixteen - four) * (batch - 4) / 12

    return batch_ms


def _line(rng: random.Random) -> Callable[[int], float]:
    slope, start = rng.uniform(0.5, 10.0), rng.uniform(1.0, 40.0)
    return lambda batch: slope * batch + start
