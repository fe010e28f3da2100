"""`framepilot-app`: one instance. It takes no commands: what it shall do is in the desired-state file."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from pythonjsonlogger.json import JsonFormatter

from framepilot.scheduling.headroom import HEADROOM, MOST_HEADROOM
from framepilot_app.supervision.log_limit import LimitedHandler
from framepilot_app.telemetry.gpu_names import AUTO, NONE, is_gpu_name
from framepilot_app.web.access import Access

GLIBC_TUNABLES: Final = "glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=4294967296"
"""Without it glibc maps and unmaps every large activation anew, which doubles the time of large batches."""


def run(
    desired: Annotated[Path, typer.Option(help="The desired-state file to follow; it may appear later.")],
    cache: Annotated[Path, typer.Option(help="Folder for models in use and verdicts; kept across restarts.")],
    listen: Annotated[
        str,
        typer.Option(
            help="HOST:PORT of the page, /healthz, /readyz, /status, /metrics; port 0: a free one, see CACHE/listen."
        ),
    ] = "127.0.0.1:8080",
    models_cache: Annotated[
        Path | None,
        typer.Option(
            envvar="FRAMEPILOT_MODELS_CACHE",
            help="Folder for models that all processes on this machine share; without it they are in CACHE.",
        ),
    ] = None,
    stuck_after: Annotated[
        float,
        typer.Option(
            envvar="FRAMEPILOT_STUCK_AFTER",
            min=0.1,
            help="Seconds without a sign of life of the device thread after which the process ends with status 70.",
        ),
    ] = 60.0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, or auto: the first GPU if there is one.")] = "auto",
    nvml_device: Annotated[
        str,
        typer.Option(
            envvar="FRAMEPILOT_NVML_DEVICE",
            help="The GPU whose telemetry is shown, if it is not the one that computes: INDEX, UUID, PCI bus id, "
            "auto: the one that computes, or none.",
        ),
    ] = "auto",
    credentials: Annotated[
        Path | None,
        typer.Option(
            help="Folder with a folder for each Secret that a service names; in it STREAM.username, STREAM.password."
        ),
    ] = None,
    page: Annotated[
        Access,
        typer.Option(
            envvar="FRAMEPILOT_PAGE",
            help="Who sees the page with the pictures of the streams: this machine, all who reach the port, or nobody.",
        ),
    ] = Access.LOCAL,
    share: Annotated[
        bool,
        typer.Option(
            envvar="FRAMEPILOT_SHARE",
            help="Hold equal parameters of models once, and run once what models have in common.",
        ),
    ] = True,
    memory_headroom: Annotated[
        float,
        typer.Option(
            envvar="FRAMEPILOT_MEMORY_HEADROOM",
            min=0.0,
            max=MOST_HEADROOM,
            help="Share of the memory limit that loading a model leaves free; 0: models are loaded whatever is free.",
        ),
    ] = HEADROOM,
    parent_pid: Annotated[int | None, typer.Option(help="Stop when this process, the parent, has ended.")] = None,
) -> None:
    """Run one instance until SIGTERM; then deliver what is in flight and exit 0."""
    host, _, port = listen.rpartition(":")
    if not port.isdigit() or not host:
        raise typer.BadParameter(f"'{listen}' is not HOST:PORT, as in 127.0.0.1:8080", param_hint="--listen")
    if nvml_device not in {AUTO, NONE} and not is_gpu_name(nvml_device):
        raise typer.BadParameter(
            f"'{nvml_device}' names no GPU: auto, none, an index, a UUID as in GPU-1f3c…, or a PCI bus id as in "
            "00000000:3b:00.0; nvidia-smi -L lists them",
            param_hint="--nvml-device",
        )
    _log_as_json()
    from framepilot_app.app import Options  # noqa: PLC0415 torch takes seconds to import; --help should not
    from framepilot_app.app import run as run_app  # noqa: PLC0415

    run_app(
        Options(
            desired=desired,
            cache=cache,
            models_cache=models_cache,
            host=host.strip("[]"),
            port=int(port),
            device=_device(device),
            parent=parent_pid,
            stuck_after_s=stuck_after,
            credentials=credentials,
            nvml_device=nvml_device,
            page=page,
            share=share,
            memory_headroom=memory_headroom,
        )
    )


def _device(name: str) -> str:
    import torch  # noqa: PLC0415

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise typer.BadParameter(f"'{name}' is not a device: cpu, cuda, cuda:1", param_hint="--device") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise typer.BadParameter("there is no CUDA device here; use cpu or auto", param_hint="--device")
    return name


def _log_as_json() -> None:
    handler = LimitedHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            ["asctime", "levelname", "name", "message"],
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _tune_malloc() -> None:
    """Glibc reads its tunables when a process starts, so set them and start again in place."""
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ:
        os.environ["GLIBC_TUNABLES"] = GLIBC_TUNABLES
        os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606 the same program, the same arguments


def main() -> None:
    """Entry point of the script."""
    _tune_malloc()
    typer.run(run)
