"""Generates the Python stubs from proto/ into a folder of its own. Talks to no server."""

import importlib
import pathlib
import sys
import tempfile
import types

import grpc_tools
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"


def load(proto: pathlib.Path = PROTO) -> types.SimpleNamespace:
    """Compiles proto/thenar/v1 and returns its modules by name, for instance `identity` and `identity_grpc`."""
    # An imported module needs its file no more, so the folder goes when all are in.
    with tempfile.TemporaryDirectory(prefix="thenar-stubs-") as out:
        files = sorted((proto / "thenar" / "v1").glob("*.proto"))
        if not files:
            raise SystemExit(f"no .proto file in {proto / 'thenar' / 'v1'}")
        well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
        arguments = ["protoc", f"-I{proto}", f"-I{well_known}", f"--python_out={out}", f"--grpc_python_out={out}"]
        if protoc.main(arguments + [str(file) for file in files]) != 0:
            raise SystemExit("protoc refused the files; see above")
        sys.path.insert(0, out)
        try:
            modules = {}
            for file in files:
                modules[file.stem] = importlib.import_module(f"thenar.v1.{file.stem}_pb2")
                modules[f"{file.stem}_grpc"] = importlib.import_module(f"thenar.v1.{file.stem}_pb2_grpc")
            return types.SimpleNamespace(**modules)
        finally:
            sys.path.remove(out)
