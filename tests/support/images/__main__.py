"""`python -m support.images` (with tests/ in PYTHONPATH): build and push the images, print their references on stdout.

The answer is {"operator": REFERENCE, "inferenceApp": REFERENCE, "samples": REFERENCE}. It needs
root, and Debian's buildah and mmdebstrap.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from support.images.build import INFERENCE_APP, OPERATOR, SAMPLES, publish
from support.images.buildah import ImagesError
from support.images.registry import Registry
from support.samples.build import build as samples


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m support.images", description="Build and push the images.")
    parser.add_argument("--registry", default="127.0.0.1:5000", help="HOST:PORT of a registry without TLS")
    arguments = parser.parse_args()
    try:
        references = publish(Registry(arguments.registry), os.environ, samples())
    except ImagesError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    names = {"operator": OPERATOR, "inferenceApp": INFERENCE_APP, "samples": SAMPLES}
    json.dump({name: references[target] for name, target in names.items()}, sys.stdout)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
