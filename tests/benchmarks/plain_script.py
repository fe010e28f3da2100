"""What a user would write without Framepilot: OpenCV, torch, a thread for each camera and one loop.

`python -m benchmarks.plain_script WEIGHTS OUT.jsonl FPS VIDEO...` (with tests/ in PYTHONPATH), until it is ended. Each
camera keeps its newest frame; the loop takes what is there as one batch, and writes a line for each frame.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from support.samples.embedder import load_embedder

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)

newest: dict[int, tuple[int, float, np.ndarray]] = {}
lock = threading.Lock()
came = threading.Event()


def read(camera: int, video: str, fps: float) -> None:
    capture, number, started = cv2.VideoCapture(video), 0, time.monotonic()
    while True:
        time.sleep(max(0.0, started + number / fps - time.monotonic()))
        found, image = capture.read()
        if not found:
            capture = cv2.VideoCapture(video)
            continue
        captured_at = time.monotonic()
        small = cv2.cvtColor(cv2.resize(image, (64, 128)), cv2.COLOR_BGR2RGB)
        with lock:
            newest[camera] = (number, captured_at, small)
        came.set()
        number += 1


def main() -> None:
    weights, out, fps, *videos = sys.argv[1:]
    model = load_embedder(Path(weights))
    for camera, video in enumerate(videos):
        threading.Thread(target=read, args=(camera, video, float(fps)), daemon=True).start()
    with Path(out).open("w") as file, torch.inference_mode():
        while came.wait():
            with lock:
                came.clear()
                frames = dict(newest)
                newest.clear()
            batch = torch.from_numpy(np.stack([image for _, _, image in frames.values()]))
            vectors = model((batch.permute(0, 3, 1, 2).float() / 255 - MEAN) / DEVIATION).tolist()
            for (camera, (number, captured_at, _)), vector in zip(frames.items(), vectors, strict=True):
                latency_ms = (time.monotonic() - captured_at) * 1000
                line = {"stream": f"camera-{camera}", "sequence": number, "latencyMs": latency_ms, "vector": vector}
                file.write(json.dumps(line) + "\n")
            file.flush()


if __name__ == "__main__":
    main()
