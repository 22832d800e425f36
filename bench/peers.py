"""The peers that thenar is measured beside, each set up at its best. Started by bench/compare; judges nothing.

Reads one request a line from standard input and answers each with one line of JSON:
    {"peer", "batch", "start", "at_least", "at_most", "budget_s", "warm_up"}
    {"times_ms": [...], "rows": [...], "scores": [...]} or {"error": "..."}
Repeat i of a batch searches the probes from (start + i)·batch on, round and round; rows and scores are the best of each, in that order.
The first line, unasked, says what was built: {"built": {name: seconds}, "failed": {name: reason}, "facts": {...}}.
"""

import argparse
import ctypes
import glob
import json
import os
import sys
import time

import numpy as np

# Rows converted to single precision at once.
CHUNK = 65_536
# Rows that product quantisers are trained with.
TRAIN = 65_536
# Candidates that an approximate index hands to its exact refinement, for each row asked for.
REFINED = 16


class Flat:
    """Faiss IndexFlatIP: exact, single precision."""

    def __init__(self, bench):
        faiss = bench.faiss()
        self.index = faiss.IndexFlatIP(bench.dim)
        for rows in bench.chunks():
            self.index.add(rows)

    def search(self, probes):
        scores, rows = self.index.search(probes, 1)
        return rows[:, 0], scores[:, 0]


class Refined:
    """A fast scan over short codes, then the exact score of the best candidates. Approximate: recall is not promised."""

    def __init__(self, bench, base):
        faiss = bench.faiss()
        self.base = base
        # Shares the exact rows with the flat index.
        self.flat = bench.build("flat").index
        base.train(bench.sample())
        for rows in bench.chunks():
            base.add(rows)
        self.index = faiss.IndexRefine(base, self.flat)
        self.index.k_factor = REFINED

    def search(self, probes):
        scores, rows = self.index.search(probes, 1)
        return rows[:, 0], scores[:, 0]


def product_quantiser(bench):
    faiss = bench.faiss()
    if bench.dim % 64:
        raise ValueError(f"PQ64x4fs needs a dimension that 64 divides, not {bench.dim}")
    return Refined(bench, faiss.index_factory(bench.dim, "PQ64x4fs", faiss.METRIC_INNER_PRODUCT))


def rabitq(bench):
    faiss = bench.faiss()
    if not hasattr(faiss, "IndexRaBitQFastScan"):
        raise ValueError(f"faiss {faiss.__version__} has no IndexRaBitQFastScan")
    return Refined(bench, faiss.IndexRaBitQFastScan(bench.dim, faiss.METRIC_INNER_PRODUCT))


class USearch:
    """USearch's exact search of half-precision rows, or of rows in 8 bits (then exact of what is left of them)."""

    def __init__(self, bench, in_bytes):
        import usearch
        from usearch.index import Index, MetricKind, search

        self.run, self.in_bytes, self.threads = search, in_bytes, bench.threads
        self.metric = MetricKind.Cos if in_bytes else MetricKind.IP
        self.rows = bench.gallery
        if in_bytes:
            # Cosine ignores the step; it is chosen so that hardly a coordinate is cut off.
            self.step = 6.0 / np.sqrt(bench.dim) / 127.0
            self.rows = np.empty(bench.gallery.shape, np.int8)
            for start in range(0, len(self.rows), CHUNK):
                self.rows[start : start + CHUNK] = self.cast(bench.gallery[start : start + CHUNK].astype(np.float32))
        kind = "i8" if in_bytes else "f16"
        probe = Index(ndim=bench.dim, metric=self.metric, dtype=kind)
        bench.facts[f"usearch_{kind}_hardware"] = str(probe.hardware_acceleration)
        bench.facts["usearch"] = usearch.__version__

    def cast(self, values):
        if not self.in_bytes:
            return values.astype(np.float16)
        return np.clip(np.rint(values / self.step), -127, 127).astype(np.int8)

    def search(self, probes):
        found = self.run(self.rows, self.cast(probes), 1, self.metric, exact=True, threads=self.threads)
        return np.asarray(found.keys).reshape(-1), 1.0 - np.asarray(found.distances).reshape(-1)


BUILDERS = {
    "flat": Flat,
    "pq": product_quantiser,
    "rabitq": rabitq,
    "usearch-f16": lambda bench: USearch(bench, in_bytes=False),
    "usearch-i8": lambda bench: USearch(bench, in_bytes=True),
}


class Bench:
    """The gallery, the probes and the peers that were built."""

    def __init__(self, options):
        self.gallery = np.load(options.gallery, mmap_mode="r")
        self.probes = np.load(options.probes)
        self.dim = self.gallery.shape[1]
        self.threads = options.threads
        self.level = options.faiss_level
        self.facts = {"numpy": np.__version__}
        self.peers, self.failed, self.built = {}, {}, {}
        self._faiss = None

    def faiss(self):
        """Faiss, held to the level asked for, with the settings that make its exact search fast."""
        if self._faiss is None:
            import faiss

            if self.level:
                faiss.SIMDConfig.set_level(getattr(faiss, f"SIMDLevel_{self.level}"))
            faiss.omp_set_num_threads(self.threads)
            faiss.cvar.distance_compute_blas_threshold = 20
            faiss.cvar.distance_compute_blas_database_bs = 4096
            self.facts.update(faiss=faiss.__version__, faiss_level=faiss.SIMDConfig.get_level_name(), **blas(faiss))
            self._faiss = faiss
        return self._faiss

    def chunks(self):
        for start in range(0, len(self.gallery), CHUNK):
            yield self.gallery[start : start + CHUNK].astype(np.float32)

    def sample(self):
        step = max(1, len(self.gallery) // TRAIN)
        return self.gallery[::step][:TRAIN].astype(np.float32)

    def build(self, name):
        if name in self.failed:
            raise ValueError(self.failed[name])
        if name not in self.peers:
            start = time.perf_counter()
            self.peers[name] = BUILDERS[name](self)
            self.built[name] = round(time.perf_counter() - start, 3)
        return self.peers[name]

    def try_build(self, name):
        try:
            self.build(name)
        except Exception as error:  # A peer that fails is reported, and the others are measured.
            self.failed[name] = f"{type(error).__name__}: {error}"

    def measure(self, request):
        peer, batch = self.peers[request["peer"]], request["batch"]
        last = len(self.probes) // batch
        if request["warm_up"]:
            peer.search(self.probes[-batch:])
        times, rows, scores = [], [], []
        begun = time.perf_counter()
        while len(times) < request["at_most"]:
            if len(times) >= request["at_least"] and time.perf_counter() - begun >= request["budget_s"]:
                break
            first = (request["start"] + len(times)) % last * batch
            probes = np.ascontiguousarray(self.probes[first : first + batch])
            start = time.perf_counter()
            found, score = peer.search(probes)
            times.append((time.perf_counter() - start) * 1e3)
            rows.extend(int(row) for row in found)
            scores.extend(float(value) for value in score)
        return {"times_ms": times, "rows": rows, "scores": scores}


def blas(faiss):
    """Which kernels the OpenBLAS of Faiss' wheel chose."""
    libraries = glob.glob(os.path.join(os.path.dirname(faiss.__file__), "..", "faiss_cpu.libs", "libopenblas*"))
    try:
        library = ctypes.CDLL(libraries[0])
        library.openblas_get_corename.restype = ctypes.c_char_p
        return {"openblas_core": library.openblas_get_corename().decode()}
    except (IndexError, OSError, AttributeError) as error:
        return {"openblas_core": f"unknown ({error})"}


def say(answer):
    print(json.dumps(answer), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gallery", required=True)
    parser.add_argument("--probes", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--peers", required=True)
    parser.add_argument("--faiss-level", default="")
    options = parser.parse_args()
    bench = Bench(options)
    for name in options.peers.split(","):
        bench.try_build(name)
    say({"built": bench.built, "failed": bench.failed, "facts": bench.facts})
    for line in sys.stdin:
        try:
            say(bench.measure(json.loads(line)))
        except Exception as error:
            say({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
