"""Metrics of the app, said once: the app exports them; the operator, dashboards, alerts and a page read them.

`docs/metrics.md` is written from here, so what a metric means is said where it has its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """The types of Prometheus; an info is a gauge that is 1, whose labels are what it says."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: the name that is exported, its type, what it means, and its labels. Units are base units."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()


# Labels
SERVICE: Final = "service"
STREAM: Final = "stream"
MODULE: Final = "module"
MODEL: Final = "model"
REASON: Final = "reason"
SINK: Final = "sink"
STATE: Final = "state"
STAGE: Final = "stage"
VERSION: Final = "version"
THREAD: Final = "thread"
SOURCE: Final = "source"
CLOCK: Final = "clock"
KIND: Final = "kind"
SHARED_STAGE: Final = "shared_stage"
MODULES: Final = "modules"
MEMORY: Final = "memory"

# Frames: ingested = delivered + dropped + in_flight for each service and stream
FRAMES_INGESTED: Final = Metric("framepilot_frames_ingested_total", Kind.COUNTER, "Frames decoded.", (SERVICE, STREAM))
FRAMES_DELIVERED: Final = Metric(
    "framepilot_frames_delivered_total", Kind.COUNTER, "Frames handed to the sinks.", (SERVICE, STREAM)
)
FRAMES_DROPPED: Final = Metric(
    "framepilot_frames_dropped_total", Kind.COUNTER, "Frames dropped, by reason.", (SERVICE, STREAM, REASON)
)
FRAMES_IN_FLIGHT: Final = Metric(
    "framepilot_frames_in_flight", Kind.GAUGE, "Frames that have not ended yet.", (SERVICE, STREAM)
)
FRAME_LATENCY: Final = Metric(
    "framepilot_frame_latency_seconds",
    Kind.HISTOGRAM,
    "From the return of decode to the hand-over to the sinks.",
    (SERVICE, STREAM),
)
FRAMES_WITHIN: Final = Metric(
    "framepilot_frames_within_objective_total",
    Kind.COUNTER,
    "Frames delivered within the objective; one that is dropped is not.",
    (SERVICE, STREAM),
)
OBJECTIVE: Final = Metric(
    "framepilot_objective_seconds", Kind.GAUGE, "The latency that a service's frames are to keep to.", (SERVICE,)
)

# Streams
STREAM_STATE: Final = Metric(
    "framepilot_stream_state",
    Kind.GAUGE,
    "1 for the state that the stream is in, 0 for the others.",
    (SERVICE, STREAM, STATE),
)
STREAM_RECONNECTS: Final = Metric(
    "framepilot_stream_reconnects_total", Kind.COUNTER, "Openings of a source after the first.", (SERVICE, STREAM)
)
STREAM_HUNG: Final = Metric(
    "framepilot_stream_hung_reads_total",
    Kind.COUNTER,
    "Reads that the system did not come back from.",
    (SERVICE, STREAM),
)
STREAM_DECODE: Final = Metric(
    "framepilot_stream_decode_seconds_total",
    Kind.COUNTER,
    "Processor time in which the frames of a stream were decoded; services that share it all have it whole.",
    (SERVICE, STREAM),
)

# Modules
MODULE_ITEMS: Final = Metric("framepilot_module_items_total", Kind.COUNTER, "Items that have run.", (SERVICE, MODULE))
MODULE_QUEUE: Final = Metric(
    "framepilot_module_queue_items", Kind.GAUGE, "Items that wait for a batch.", (SERVICE, MODULE)
)
MODULE_STAGE: Final = Metric(
    "framepilot_module_stage_seconds",
    Kind.HISTOGRAM,
    "Duration of a module's stages for a batch (infer, post) or item (pre, queue); post includes a wait for a worker.",
    (SERVICE, MODULE, STAGE),
)
MODULE_BATCH_CAP: Final = Metric(
    "framepilot_module_batch_cap_items", Kind.GAUGE, "The most items of one batch.", (SERVICE, MODULE)
)
MODULE_BATCH_ITEMS: Final = Metric(
    "framepilot_module_batch_items", Kind.HISTOGRAM, "Items in a batch.", (SERVICE, MODULE)
)
MODULE_TIME_LIMIT_ITEMS: Final = Metric(
    "framepilot_module_time_limit_batch_items",
    Kind.GAUGE,
    "The most items of one batch that the service's time limit leaves now, 0: none runs; no sample without a limit.",
    (SERVICE, MODULE),
)
MODULE_OVER_TIME_LIMIT: Final = Metric(
    "framepilot_module_over_time_limit_total",
    Kind.COUNTER,
    "Batches that took longer than the service's time limit; no sample without a limit.",
    (SERVICE, MODULE),
)
MODULE_VERSION: Final = Metric(
    "framepilot_module_version_info", Kind.INFO, "The version that serves.", (SERVICE, MODULE, VERSION, MODEL)
)
MODULE_SERVING: Final = Metric(
    "framepilot_module_serving", Kind.GAUGE, "1 while some version of the module serves.", (SERVICE, MODULE)
)

# Rollouts: the latest of each module
ROLLOUT_STATE: Final = Metric(
    "framepilot_rollout_state",
    Kind.GAUGE,
    "1 for the state that the module's latest rollout is in, 0 for the others.",
    (SERVICE, MODULE, STATE),
)
ROLLOUT_PAUSE: Final = Metric(
    "framepilot_rollout_pause_seconds", Kind.GAUGE, "Between two batches, for the latest switch.", (SERVICE, MODULE)
)
ROLLOUT_STEP: Final = Metric(
    "framepilot_rollout_longest_step_seconds",
    Kind.GAUGE,
    "The longest that one step of the latest rollout held the device.",
    (SERVICE, MODULE),
)
ROLLOUT_LOAD: Final = Metric(
    "framepilot_rollout_load_seconds", Kind.GAUGE, "All steps of the latest loading.", (SERVICE, MODULE)
)

# Sinks: offered = written + dropped + waiting for each service and sink; `waiting` includes `spooled`
SINK_OFFERED: Final = Metric(
    "framepilot_sink_events_offered_total",
    Kind.COUNTER,
    "Events handed over, or found in the spool.",
    (SERVICE, SINK),
)
SINK_WRITTEN: Final = Metric(
    "framepilot_sink_events_written_total", Kind.COUNTER, "Events that the receiver took.", (SERVICE, SINK)
)
SINK_DROPPED: Final = Metric(
    "framepilot_sink_events_dropped_total", Kind.COUNTER, "Events dropped, by reason.", (SERVICE, SINK, REASON)
)
SINK_WAITING: Final = Metric(
    "framepilot_sink_events_waiting", Kind.GAUGE, "Events that wait to be written.", (SERVICE, SINK)
)
SINK_SPOOLED: Final = Metric(
    "framepilot_sink_events_spooled", Kind.GAUGE, "Those of them that wait on disk.", (SERVICE, SINK)
)
SINK_CONNECTED: Final = Metric(
    "framepilot_sink_connected", Kind.GAUGE, "1 while the sink can be written.", (SERVICE, SINK)
)
SINK_WRITE: Final = Metric(
    "framepilot_sink_write_seconds",
    Kind.HISTOGRAM,
    "Duration of one write of some events to a sink, whether it took them or not.",
    (SERVICE, SINK),
)

# Faults of the app itself
THREADS_DIED: Final = Metric(
    "framepilot_threads_died_total", Kind.COUNTER, "Threads that died unexpectedly.", (THREAD,)
)
TASKS_FAILED: Final = Metric(
    "framepilot_tasks_failed_total", Kind.COUNTER, "Tasks of workers that raised unexpectedly."
)

# What is shared. A shared stage is named by its modules, so it keeps its name when a model changes; at a time there are
# fewer of them than kernels, and a name that was not there before comes only with a change of what is declared.
SERVICE_DEVICE_SECONDS: Final = Metric(
    "framepilot_service_device_seconds_total",
    Kind.COUNTER,
    "Device time that a service was charged with; what ran once for several is split between them by use.",
    (SERVICE,),
)
SERVICE_PARAMETERS: Final = Metric(
    "framepilot_service_parameters_bytes",
    Kind.GAUGE,
    "Parameters that a service was charged with; those that several services have are split evenly between them.",
    (SERVICE,),
)
PARAMETERS_UNIQUE: Final = Metric(
    "framepilot_parameters_unique_bytes", Kind.GAUGE, "Parameters that torch's programs use, each counted once."
)
PARAMETERS_REFERENCED: Final = Metric(
    "framepilot_parameters_referenced_bytes", Kind.GAUGE, "The same, each counted for every program that uses it."
)
STAGE_BATCHES: Final = Metric(
    "framepilot_shared_stage_batches_total",
    Kind.COUNTER,
    "Batches of a beginning that several modules have in common; `modules` is how many.",
    (SHARED_STAGE, MODULES),
)
STAGE_PICTURES: Final = Metric(
    "framepilot_shared_stage_pictures_total", Kind.COUNTER, "Pictures that it ran on.", (SHARED_STAGE, MODULES)
)
STAGE_ITEMS: Final = Metric(
    "framepilot_shared_stage_items_total",
    Kind.COUNTER,
    "Items that it served; one picture may serve several modules.",
    (SHARED_STAGE, MODULES),
)
STAGE_SECONDS: Final = Metric(
    "framepilot_shared_stage_seconds_total", Kind.COUNTER, "Device time that it took.", (SHARED_STAGE, MODULES)
)

# Device: what it does not support, or is not a GPU's, has no sample
DEVICE_BUSY: Final = Metric(
    "framepilot_device_busy_seconds_total", Kind.COUNTER, "Time in which the device ran batches of this instance."
)
DEVICE_INFO: Final = Metric(
    "framepilot_device_info",
    Kind.INFO,
    "The device that computes, and the UUID of the GPU that is watched.",
    ("device_class", "device", "uuid"),
)
DEVICE_UTILIZATION: Final = Metric(
    "framepilot_device_utilization_ratio",
    Kind.GAUGE,
    "Share of the time in which the device worked; `source` is `nvml`, or `device thread`: what this instance ran.",
    (SOURCE,),
)
DEVICE_OWN_UTILIZATION: Final = Metric(
    "framepilot_device_own_utilization_ratio",
    Kind.GAUGE,
    "Share of the time in which the device ran batches of this instance.",
)
DEVICE_MEMORY_USED: Final = Metric(
    "framepilot_device_memory_used_bytes", Kind.GAUGE, "Memory of the GPU in use, by whomever."
)
DEVICE_MEMORY_TOTAL: Final = Metric("framepilot_device_memory_total_bytes", Kind.GAUGE, "Memory that the GPU has.")
DEVICE_OWN_MEMORY: Final = Metric(
    "framepilot_device_own_memory_bytes", Kind.GAUGE, "Memory of the GPU that this instance uses."
)
DEVICE_TEMPERATURE: Final = Metric(
    "framepilot_device_temperature_celsius", Kind.GAUGE, "Temperature of the GPU's chip."
)
DEVICE_POWER: Final = Metric("framepilot_device_power_watts", Kind.GAUGE, "Power that the GPU's board draws.")
DEVICE_POWER_LIMIT: Final = Metric(
    "framepilot_device_power_limit_watts", Kind.GAUGE, "Power at which the driver lowers the clocks."
)
DEVICE_CLOCK: Final = Metric(
    "framepilot_device_clock_hertz", Kind.GAUGE, "Clocks: `sm` of the multiprocessors, `memory`.", (CLOCK,)
)
DEVICE_THROTTLED: Final = Metric(
    "framepilot_device_throttled",
    Kind.GAUGE,
    "1 for each reason that keeps the clocks lower than they could be, 0 for the others; `other` is a newer driver's.",
    (REASON,),
)
DEVICE_ECC_ERRORS: Final = Metric(
    "framepilot_device_ecc_errors_total",
    Kind.COUNTER,
    "Memory errors since the driver was loaded: `corrected`, `uncorrected`.",
    (KIND,),
)
DEVICE_LAST_XID: Final = Metric(
    "framepilot_device_last_xid", Kind.GAUGE, "Number of the latest Xid error since the app began to watch."
)
DEVICE_MIG: Final = Metric("framepilot_device_mig", Kind.GAUGE, "1 while the GPU is divided into MIG instances.")
DEVICE_TELEMETRY_UP: Final = Metric(
    "framepilot_device_telemetry_up", Kind.GAUGE, "1 while NVML answers; no sample where there is no GPU to watch."
)
DEVICE_TELEMETRY_AGE: Final = Metric(
    "framepilot_device_telemetry_age_seconds", Kind.GAUGE, "Age of NVML's latest sample."
)

# Memory that models take, by its tightest limit: `host`, and `gpu` where one computes
MEMORY_LIMIT: Final = Metric(
    "framepilot_memory_limit_bytes",
    Kind.GAUGE,
    "Memory that the instance may use, by its control group, else by its machine; `memory` is `host` or `gpu`.",
    (MEMORY,),
)
MEMORY_USED: Final = Metric(
    "framepilot_memory_used_bytes",
    Kind.GAUGE,
    "What is used of it by all that it limits, without pages of files that nobody has mapped.",
    (MEMORY,),
)
MEMORY_HEADROOM: Final = Metric(
    "framepilot_memory_headroom_bytes",
    Kind.GAUGE,
    "What has to stay free of it when a model is loaded.",
    (MEMORY,),
)
MEMORY_LOADING: Final = Metric(
    "framepilot_memory_loading_bytes",
    Kind.GAUGE,
    "What models that are being loaded will take of it at most.",
    (MEMORY,),
)

# Contract
DESIRED_GENERATION: Final = Metric(
    "framepilot_desired_state_generation", Kind.GAUGE, "Generation of the desired state in force."
)
DESIRED_ERROR: Final = Metric(
    "framepilot_desired_state_error", Kind.GAUGE, "1 while the desired state found is not in force."
)

METRICS: Final = tuple(each for each in [*globals().values()] if isinstance(each, Metric))
"""All of the above, in their order."""
