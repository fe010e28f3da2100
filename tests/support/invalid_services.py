"""Services that must be refused, each with what a person has to read."""

from __future__ import annotations

from typing import Any

from support.changed_document import MISSING
from support.invalid_resource import InvalidResource
from support.resources import service_document


class InvalidService(InvalidResource):
    """A service that uses every field of `template`, with one change."""

    def valid(self) -> dict[str, Any]:
        return valid_service()


def valid_service() -> dict[str, Any]:
    """A service with each kind of sink and every field of `template`, of no namespace; fresh at every call."""
    document = service_document()
    del document["metadata"]["namespace"]
    document["spec"]["sinks"] += [
        {
            "name": "broker",
            "type": "mqtt",
            "url": "mqtts://broker.site:8883/cameras/north",
            "tls": {"ca": "/ca/ca.crt", "certificate": "/keys/tls.crt", "key": "/keys/tls.key"},
            "spool": {"size": "1Gi", "path": "/room/spool"},
        },
        {"name": "hook", "type": "webhook", "url": "https://hooks.site/events?site=north"},
    ]
    document["spec"]["template"] = {
        "resources": {"requests": {"cpu": 2, "memory": "4Gi"}, "limits": {"memory": "4Gi", "nvidia.com/gpu": 1}},
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"operator": "Exists"}, {"key": "site/gpu", "value": "small", "effect": "NoSchedule"}],
        "env": [{"name": "SSL_CERT_FILE", "value": "/ca/ca.crt"}, {"name": "EMPTY"}],
        "volumes": [
            {"name": "models", "persistentVolumeClaim": {"claimName": "models"}},
            {"name": "ca", "configMap": {"name": "ca.site"}},
            {"name": "keys", "secret": {"secretName": "keys"}},
            {"name": "room", "emptyDir": {"sizeLimit": "1Gi"}},
        ],
        "volumeMounts": [
            {"name": "models", "mountPath": "/models", "readOnly": True},
            {"name": "ca", "mountPath": "/ca"},
        ],
        "imagePullSecrets": [{"name": "registry"}],
    }
    return document


def _sink(kind: str, **fields: str) -> dict[str, str]:
    return {"name": "broker", "type": kind, **fields}


_TEMPLATE = "spec/template"
_ADDRESS = "an address of a sink; write mqtt://host/topic, mqtts://host/topic, http://host/path or https://host/path"
_SIZE = "a size on disk; write a whole number above 0 and one of the units Mi, Gi, Ti, such as 64Mi or 2Gi"
_STORE = "file:relative/folder or https://host/folder, without user name, password, '?' and '#'"
_AMOUNT = "an amount; write a number of 0 or more and perhaps a unit, such as 2, 500m or 4Gi"
_NO_SECRET = "write the user name and the password into the Secret that credentialsSecretName names"
_ENDS = (
    "/etc/framepilot, /run/framepilot, /cache, /tmp, /dev/shm are Framepilot's; mount the volume elsewhere, such as at "
    "/models"
)

INVALID_SERVICES = (
    InvalidService(
        "a name with a dot",
        "metadata/name",
        "lobby.north",
        "metadata.name must have at most 63 characters and no dot",
        "metadata.name: 'lobby.north' is not a name",
    ),
    InvalidService(
        "an unknown field", "spec/rollouts", {}, 'unknown field "spec.rollouts"', "spec.rollouts: unknown field"
    ),
    InvalidService("no streams", "spec/streams", MISSING, "spec.streams: Required value", "spec.streams: required"),
    InvalidService("an empty list of streams", "spec/streams", [], "spec.streams", "spec.streams: there is no stream"),
    InvalidService("an empty pipeline", "spec/modules", [], "spec.modules", "spec.modules: the pipeline is empty"),
    InvalidService(
        "a stream twice",
        "spec/streams/1",
        {"name": "door", "source": "file:x.mp4"},
        'spec.streams[1]: Duplicate value: {"name":"door"}',
        "spec.streams: the name 'door' is used 2 times",
    ),
    InvalidService(
        "a module twice",
        "spec/modules/2",
        {"name": "age", "model": {"name": "age", "version": "1"}},
        'spec.modules[2]: Duplicate value: {"name":"age"}',
        "spec.modules: the name 'age' is used 2 times",
    ),
    InvalidService(
        "a stream in upper case",
        "spec/streams/0/name",
        "Door",
        "must be a name: lower-case letters, digits and '-' between them, at most 63",
        "'Door' is not a name: lower-case letters, digits and '-' between them, at most 63",
    ),
    InvalidService(
        "a way of delivery that there is not",
        "spec/streams/0/delivery",
        "latest",
        'spec.streams[0].delivery: Unsupported value: "latest": supported values: "newest", "lossless"',
        "spec.streams[0].delivery: Input should be 'newest' or 'lossless', got 'latest'",
    ),
    InvalidService(
        "an engine that there is not",
        "spec/modules/0/model/engine",
        "tensorrt",
        'spec.modules[0].model.engine: Unsupported value: "tensorrt": supported values: "auto", "torch", '
        '"onnxruntime", "openvino", "aotinductor"',
        "spec.modules[0].model.engine: Input should be 'auto', 'torch', 'onnxruntime', 'openvino' or 'aotinductor', "
        "got 'tensorrt'",
    ),
    InvalidService(
        "a priority above the highest",
        "spec/streams/0/priority",
        101,
        "spec.streams[0].priority in body should be less than or equal to 100",
        "spec.streams[0].priority: Input should be less than or equal to 100, got 101",
    ),
    InvalidService(
        "a source that is none",
        "spec/streams/0/source",
        "videos/door.mp4",
        "a supported source; write rtsp://host/path, http://host/path, device:///dev/video0, file:///absolute/path, "
        "file:relative/path or test://640x360?fps=25&frames=500",
    ),
    InvalidService("a source with a password", "spec/streams/0/source", "rtsp://ann:secret@camera/main", _NO_SECRET),
    InvalidService("a password as a parameter", "spec/streams/0/source", "http://camera/?pwd=secret@", _NO_SECRET),
    InvalidService(
        "a transport for a file", "spec/streams/0/transport", "udp", "transport is for rtsp sources; remove it"
    ),
    InvalidService(
        "a transport that there is not",
        "spec/streams/0",
        {"name": "door", "source": "rtsp://camera/main", "transport": "sctp"},
        'spec.streams[0].transport: Unsupported value: "sctp": supported values: "tcp", "udp"',
        "spec.streams[0].transport: Input should be 'tcp' or 'udp', got 'sctp'",
    ),
    InvalidService(
        "a time-out for a file",
        "spec/streams/0/timeout",
        "2s",
        "timeout is for rtsp, http and device sources; remove it",
    ),
    InvalidService(
        "a part of a picture that is none of it",
        "spec/streams/0/motion",
        {"change": "0%"},
        "a part of a picture; write a percent above 0% and below 100%, such as 1% or 0.5%",
    ),
    InvalidService(
        "a camera in a loop",
        "spec/streams/0",
        {"name": "door", "source": "http://camera/", "loop": True},
        "loop is for files and the test source; a live source is opened again anyway; remove it",
    ),
    InvalidService(
        "a camera that shall wait",
        "spec/streams/0",
        {"name": "door", "source": "device:///dev/video0", "delivery": "lossless"},
        "a camera does not wait, so it cannot be lossless; write delivery: newest",
    ),
    InvalidService(
        "a Secret in another namespace",
        "spec/credentialsSecretName",
        "other/cameras",
        "the name of an object: lower-case letters, digits, '-' and '.' between them, at most 253",
    ),
    InvalidService(
        "an input that comes later",
        "spec/modules/0/inputs",
        ["age"],
        "every input must name a module that stands earlier in the list",
        "'age' must come before 'face'",
    ),
    InvalidService(
        "where without an input",
        "spec/modules/0/where",
        {"minScore": "60%"},
        "where selects detections of an input; add inputs, or remove where",
    ),
    InvalidService(
        "a score without its sign",
        "spec/modules/1/where/minScore",
        "0.6",
        "a percent; write a number from 0 to 100 and a percent sign, such as 60%",
    ),
    InvalidService(
        "a version that is a number",
        "spec/modules/0/model/version",
        1,
        'spec.modules[0].model.version: Invalid value: "integer"',
        "spec.modules[0].model.version: 1 is not text; put it in quotes",
    ),
    InvalidService(
        "a version with a slash",
        "spec/modules/0/model/version",
        "1/2",
        "must be a version: letters, digits, '.', '_' and '-', beginning with a letter or digit, at most 63",
        "'1/2' is not a version: letters, digits, '.', '_' and '-', beginning with a letter or digit, at most 63",
    ),
    InvalidService(
        "a digest that is none",
        "spec/modules/0/model/sha256",
        "ABC",
        "a sha256 digest: 64 lower-case hexadecimal digits",
    ),
    InvalidService(
        "a batching mode in lower case",
        "spec/batching/mode",
        "auto",
        'spec.batching.mode: Unsupported value: "auto": supported values: "Auto", "Fixed"',
        "spec.batching.mode: Input should be 'Auto' or 'Fixed', got 'auto'",
    ),
    InvalidService(
        "a smallest batch above the largest",
        "spec/batching",
        {"min": 8, "max": 4},
        "min must not be larger than max; raise max or lower min",
        "min 8 is larger than max 4; raise max or lower min",
    ),
    InvalidService(
        "a fixed batch without its size", "spec/batching", {"mode": "Fixed"}, "mode Fixed needs size; add it, or write"
    ),
    InvalidService(
        "a size that is not fixed",
        "spec/batching",
        {"size": 4},
        "size is for mode Fixed; remove it, or write mode: Fixed",
    ),
    InvalidService(
        "a batch that is too large",
        "spec/batching/max",
        257,
        "spec.batching.max in body should be less than or equal to 256",
        "spec.batching.max: Input should be less than or equal to 256, got 257",
    ),
    InvalidService(
        "an objective without a unit",
        "spec/objective/latency",
        "200",
        "a duration above 0; write a number and one of the units ms, s, m, such as 200ms or 1.5s",
    ),
    InvalidService(
        "a promise that nobody can make",
        "spec/objective/attainment",
        "100%",
        "a share that can be promised; write a percent from 50% to 99.99%, such as 99%",
    ),
    InvalidService("a file sink without a path", "spec/sinks/0/path", MISSING, "a sink of type file needs path"),
    InvalidService("a path for stdout", "spec/sinks/0/type", "stdout", "path is for a sink of type file; remove it"),
    InvalidService(
        "a sink that there is not",
        "spec/sinks/0",
        {"name": "events", "type": "kafka"},
        'spec.sinks[0].type: Unsupported value: "kafka": supported values: "stdout", "file", "mqtt", "webhook"',
        "spec.sinks[0].type: Input should be 'stdout', 'file', 'mqtt' or 'webhook', got 'kafka'",
    ),
    InvalidService("a broker without an address", "spec/sinks/1", _sink("mqtt"), "a sink of type mqtt needs url"),
    InvalidService(
        "a broker at a web address", "spec/sinks/2/type", "mqtt", "a sink of type mqtt needs url, such as mqtt://"
    ),
    InvalidService(
        "a webhook without an address", "spec/sinks/1", _sink("webhook"), "a sink of type webhook needs url"
    ),
    InvalidService(
        "a webhook at a broker's address", "spec/sinks/1/type", "webhook", "a sink of type webhook needs url, such as"
    ),
    InvalidService(
        "an address for stdout",
        "spec/sinks/1",
        _sink("stdout", url="https://hooks.site/events"),
        "url is for a sink of type mqtt or webhook; remove it",
    ),
    InvalidService(
        "an address with a password", "spec/sinks/1/url", "mqtts://ann:secret@broker.site/cameras", _ADDRESS
    ),
    InvalidService("a topic for all", "spec/sinks/1/url", "mqtts://broker.site/cameras/#", _ADDRESS),
    InvalidService("a broker of another kind", "spec/sinks/1/url", "amqp://broker.site/cameras", _ADDRESS),
    InvalidService(
        "certificates without TLS",
        "spec/sinks/1/url",
        "mqtt://broker.site/cameras",
        "tls is for a url that begins with mqtts:// or https://; change the url, or remove tls",
    ),
    InvalidService(
        "a certificate without its key",
        "spec/sinks/1/tls/key",
        MISSING,
        "certificate and key belong together; add the other one, or remove both",
    ),
    InvalidService(
        "a broker that is rotated",
        "spec/sinks/1/rotate",
        {"size": "64Mi"},
        "rotate is for a sink of type file; remove it",
    ),
    InvalidService("a spool without a unit", "spec/sinks/1/spool/size", "1000000", _SIZE),
    InvalidService("a file of size zero", "spec/sinks/0/rotate", {"size": "0Mi"}, _SIZE),
    InvalidService(
        "a negative number of files",
        "spec/sinks/0/rotate",
        {"size": "64Mi", "keep": -1},
        "spec.sinks[0].rotate.keep in body should be greater than or equal to 0",
        "spec.sinks[0].rotate.keep: Input should be greater than or equal to 0, got -1",
    ),
    InvalidService(
        "a path of two lines", "spec/sinks/0/path", "a\nb", "must be a path of one line", "is not a path of one line"
    ),
    InvalidService("a store of another kind", "spec/models/store", "s3://models", _STORE),
    InvalidService("a store with a password", "spec/models/store", "https://ann:secret@models.site/a", _STORE),
    InvalidService("a store with a query", "spec/models/store", "https://models.site/a?token=x", _STORE),
    InvalidService("a store without a host", "spec/models/store", "https:///a", _STORE),
    InvalidService(
        "a template beside the one of its runtime",
        "spec/placement",
        {"runtimeRef": {"name": "shared"}},
        "the template is that of the runtime that runtimeRef names; move it there",
    ),
    InvalidService(
        "an isolated service in a runtime",
        "spec/placement",
        {"isolated": True, "runtimeRef": {"name": "shared"}},
        "isolated refuses what runtimeRef asks for; remove one of them",
    ),
    InvalidService(
        "a reserve of nearly all",
        "spec/placement",
        {"reserve": "96%"},
        "a share of a device that can be reserved; write a percent above 0% and at most 95%, such as 25%",
    ),
    InvalidService(
        "a limit that limits nothing",
        "spec/placement",
        {"limit": "100%"},
        "a part of a device's time; write a percent above 0% and below 100%, such as 30%",
    ),
    InvalidService(
        "a reserve above the limit",
        "spec/placement",
        {"limit": "9%", "reserve": "25.5%"},
        "what is reserved is more than limit allows; lower reserve, or raise limit",
    ),
    InvalidService(
        "a memory limit in a strange unit",
        "spec/placement",
        {"memoryLimit": "1GB"},
        "an amount of memory; write a whole number above 0 and one of the units Mi, Gi, Ti, such as 64Mi or 2Gi",
    ),
    InvalidService(
        "a time limit without a unit",
        "spec/placement",
        {"timeLimit": "100"},
        "a duration above 0; write a number and one of the units ms, s, m, such as 200ms or 1.5s",
    ),
    InvalidService(
        "a time limit of nothing",
        "spec/placement",
        {"timeLimit": "0ms"},
        "a duration above 0; write a number and one of the units ms, s, m, such as 200ms or 1.5s",
    ),
    InvalidService(
        "a runtime of another namespace",
        "spec/placement",
        {"runtimeRef": {"name": "other/shared"}},
        "a name: lower-case letters, digits and '-' between them, at most 63",
    ),
    InvalidService(
        "an amount with a strange unit",
        f"{_TEMPLATE}/resources/requests/memory",
        "4GB",
        f"must be {_AMOUNT}",
        f"spec.template.resources.requests.memory: '4GB' is not {_AMOUNT}",
    ),
    InvalidService("a negative amount", f"{_TEMPLATE}/resources/limits/cpu", -1, _AMOUNT),
    InvalidService(
        "a fraction without quotes",
        f"{_TEMPLATE}/resources/requests/cpu",
        0.5,
        "spec.template.resources.requests.cpu",
        "spec.template.resources.requests.cpu: 0.5 is not text; put it in quotes",
    ),
    InvalidService(
        "a resource that nobody knows",
        f"{_TEMPLATE}/resources/limits/gpu",
        1,
        "a resource: cpu, memory, ephemeral-storage, or one of a device plugin, such as nvidia.com/gpu",
    ),
    InvalidService(
        "a request above its limit",
        f"{_TEMPLATE}/resources/limits/cpu",
        "1500m",
        "a request must not be larger than its limit",
    ),
    InvalidService(
        "a node label that is none",
        f"{_TEMPLATE}/nodeSelector",
        {"a b": "c"},
        "a label key, such as kubernetes.io/arch",
    ),
    InvalidService(
        "a value that no label has",
        f"{_TEMPLATE}/nodeSelector",
        {"site": "a b"},
        "must be a label value: letters, digits, '-', '_' and '.' between them, at most 63",
        "'a b' is not a label value: letters, digits, '-', '_' and '.' between them, at most 63",
    ),
    InvalidService(
        "too many node labels",
        f"{_TEMPLATE}/nodeSelector",
        {f"label-{number}": "x" for number in range(17)},
        "spec.template.nodeSelector: Too many: 17: must have at most 16 items",
        "spec.template.nodeSelector: Dictionary should have at most 16 items",
    ),
    InvalidService(
        "a toleration that compares with nothing",
        f"{_TEMPLATE}/tolerations/1/key",
        MISSING,
        "operator Equal needs key; add it, or write operator: Exists",
    ),
    InvalidService(
        "a toleration of everything with a value",
        f"{_TEMPLATE}/tolerations/0/value",
        "x",
        "operator Exists takes no value; remove it",
    ),
    InvalidService(
        "a variable with a strange name", f"{_TEMPLATE}/env/0/name", "A-B", "a variable's name: letters, digits"
    ),
    InvalidService(
        "a variable that Framepilot sets",
        f"{_TEMPLATE}/env/0/name",
        "HOME",
        "HOME, USER, TORCHINDUCTOR_CACHE_DIR, TRITON_CACHE_DIR are set by Framepilot; remove the variable",
    ),
    InvalidService(
        "a variable twice",
        f"{_TEMPLATE}/env/1/name",
        "SSL_CERT_FILE",
        'spec.template.env[1]: Duplicate value: {"name":"SSL_CERT_FILE"}',
        "spec.template: env: the name 'SSL_CERT_FILE' is used 2 times",
    ),
    InvalidService(
        "a variable that is a number",
        f"{_TEMPLATE}/env/0/value",
        1,
        'spec.template.env[0].value: Invalid value: "integer"',
        "spec.template.env[0].value: 1 is not text; put it in quotes",
    ),
    InvalidService(
        "a volume without a source",
        f"{_TEMPLATE}/volumes/0",
        {"name": "models"},
        "a volume has exactly one source; write one of persistentVolumeClaim, configMap, secret, emptyDir",
    ),
    InvalidService(
        "a volume with two sources",
        f"{_TEMPLATE}/volumes/0/emptyDir",
        {},
        "a volume has exactly one source; write one of persistentVolumeClaim, configMap, secret, emptyDir",
    ),
    InvalidService(
        "a folder of the node",
        f"{_TEMPLATE}/volumes/0",
        {"name": "models", "hostPath": {"path": "/"}},
        'unknown field "spec.template.volumes[0].hostPath"',
        "spec.template.volumes[0].hostPath: unknown field",
    ),
    InvalidService(
        "a volume of Framepilot's name",
        f"{_TEMPLATE}/volumes/2/name",
        "framepilot-cache",
        "names that begin with framepilot- are Framepilot's; choose another",
    ),
    InvalidService(
        "a claim that cannot be named so",
        f"{_TEMPLATE}/volumes/0/persistentVolumeClaim/claimName",
        "Models",
        "the name of an object: lower-case letters, digits, '-' and '.' between them",
    ),
    InvalidService("a mount on Framepilot's folder", f"{_TEMPLATE}/volumeMounts/1/mountPath", "/cache", _ENDS),
    InvalidService("a mount below Framepilot's folder", f"{_TEMPLATE}/volumeMounts/1/mountPath", "/tmp/x", _ENDS),
    InvalidService(
        "a mount around it all",
        f"{_TEMPLATE}/volumeMounts/1/mountPath",
        "/etc/../cache",
        "the path of a mount: absolute",
    ),
    InvalidService(
        "a mount of no volume",
        f"{_TEMPLATE}/volumeMounts/1/name",
        "cs",
        "every entry of volumeMounts must name one of volumes",
    ),
    InvalidService(
        "two mounts at one place",
        f"{_TEMPLATE}/volumeMounts/1/mountPath",
        "/models",
        'spec.template.volumeMounts[1]: Duplicate value: {"mountPath":"/models"}',
        "spec.template: volumeMounts: the name '/models' is used 2 times",
    ),
)
