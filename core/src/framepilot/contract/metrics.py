"""Names of metrics and labels, said once: the app exports them, the operator, dashboards and alerts read them."""

from __future__ import annotations

from typing import Final

# Labels
SERVICE: Final = "service"
STREAM: Final = "stream"
MODULE: Final = "module"
REASON: Final = "reason"
SINK: Final = "sink"
STATE: Final = "state"
STAGE: Final = "stage"
VERSION: Final = "version"
THREAD: Final = "thread"

# Frames: ingested = delivered + dropped + in_flight for each service and stream
FRAMES_INGESTED: Final = "framepilot_frames_ingested_total"
FRAMES_DELIVERED: Final = "framepilot_frames_delivered_total"
FRAMES_DROPPED: Final = "framepilot_frames_dropped_total"
FRAMES_IN_FLIGHT: Final = "framepilot_frames_in_flight"
FRAME_LATENCY: Final = "framepilot_frame_latency_seconds"
FRAMES_WITHIN: Final = "framepilot_frames_within_objective_total"
OBJECTIVE: Final = "framepilot_objective_seconds"

# Streams
STREAM_STATE: Final = "framepilot_stream_state"
STREAM_RECONNECTS: Final = "framepilot_stream_reconnects_total"
STREAM_HUNG: Final = "framepilot_stream_hung_reads_total"

# Modules
MODULE_ITEMS: Final = "framepilot_module_items_total"
MODULE_QUEUE: Final = "framepilot_module_queue_items"
MODULE_STAGE: Final = "framepilot_module_stage_seconds"
MODULE_BATCH_CAP: Final = "framepilot_module_batch_cap_items"
MODULE_BATCH_ITEMS: Final = "framepilot_module_batch_items"
MODULE_VERSION: Final = "framepilot_module_version_info"
MODULE_SERVING: Final = "framepilot_module_serving"

# Rollouts: the latest of each module
ROLLOUT_STATE: Final = "framepilot_rollout_state"
ROLLOUT_PAUSE: Final = "framepilot_rollout_pause_seconds"
ROLLOUT_STEP: Final = "framepilot_rollout_longest_step_seconds"
ROLLOUT_LOAD: Final = "framepilot_rollout_load_seconds"

# Sinks: offered = written + dropped + waiting for each service and sink; `waiting` includes `spooled`
SINK_OFFERED: Final = "framepilot_sink_events_offered_total"
SINK_WRITTEN: Final = "framepilot_sink_events_written_total"
SINK_DROPPED: Final = "framepilot_sink_events_dropped_total"
SINK_WAITING: Final = "framepilot_sink_events_waiting"
SINK_SPOOLED: Final = "framepilot_sink_events_spooled"
SINK_CONNECTED: Final = "framepilot_sink_connected"

# Faults of the app itself
THREADS_DIED: Final = "framepilot_threads_died_total"
TASKS_FAILED: Final = "framepilot_tasks_failed_total"

# Device and contract
DEVICE_BUSY: Final = "framepilot_device_busy_seconds_total"
DESIRED_GENERATION: Final = "framepilot_desired_state_generation"
DESIRED_ERROR: Final = "framepilot_desired_state_error"
