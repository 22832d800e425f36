"""PyTorch's half-precision matrix product and topk on a GPU, beside thenar. Says one JSON object a line; started by bench/gpu.

Its rows are random numbers of its own, made on the GPU: its time does not depend on them. A batch's probes and its answer cross the bus,
as thenar's do.
"""

import argparse
import json
import sys
import time

# Bytes of scores that one product may leave before they are reduced; several sizes are tried and the best one counts.
SCORES = (64 << 20, 256 << 20, 1 << 30)
# Bytes of the buffers that bandwidth is measured with.
BUFFER = 4 << 30


def say(**line):
    print(json.dumps(line), flush=True)


def median_ms(torch, call, budget_ms, at_least=5):
    """Median of the wall time of a call and the wait for it, in milliseconds."""
    call()
    torch.cuda.synchronize()
    times, begun = [], time.perf_counter()
    while len(times) < at_least or (time.perf_counter() - begun) * 1e3 < budget_ms:
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) * 1e3)
    return sorted(times)[len(times) // 2], len(times)


def bandwidth(torch, budget_ms):
    size = min(BUFFER, torch.cuda.mem_get_info()[0] // 4)
    source = torch.ones(size // 4, dtype=torch.float32, device="cuda")
    target = torch.empty_like(source)
    copy, _ = median_ms(torch, lambda: target.copy_(source), budget_ms)
    read, _ = median_ms(torch, lambda: torch.sum(source), budget_ms)
    # A copy reads and writes.
    say(what="bandwidth", copy_gb_s=2 * size / copy / 1e6, read_gb_s=size / read / 1e6)


def search(torch, rows, probes, chunk):
    """The best row of each probe: product and topk by chunks of rows, then the best of the chunks."""
    queries = probes.to("cuda", non_blocking=True)
    values, numbers = [], []
    for start in range(0, rows.shape[0], chunk):
        value, number = torch.topk(queries @ rows[start : start + chunk].T, 1, dim=1)
        values.append(value)
        numbers.append(number + start)
    values, numbers = torch.cat(values, dim=1), torch.cat(numbers, dim=1)
    best = torch.argmax(values, dim=1, keepdim=True)
    return torch.gather(numbers, 1, best).cpu()


def measure(torch, options, rows, dim):
    gallery = torch.empty((rows, dim), dtype=torch.float16, device="cuda")
    for start in range(0, rows, 1 << 22):
        part = torch.randn((min(1 << 22, rows - start), dim), device="cuda")
        gallery[start : start + len(part)] = torch.nn.functional.normalize(part).half()
        del part
    for batch in options.batches:
        probes = torch.nn.functional.normalize(torch.randn((batch, dim))).half().pin_memory()
        best = None
        for scores in SCORES:
            chunk = max(1_024, scores // 2 // batch)
            ms, repeats = median_ms(torch, lambda: search(torch, gallery, probes, chunk), options.budget_ms)
            if best is None or ms < best["ms"]:
                best = {"ms": ms, "repeats": repeats, "chunk_rows": min(chunk, rows)}
            if chunk >= rows:
                break
        say(what="matmul + topk", rows=rows, dim=dim, batch=batch, **best)


def main():
    parser = argparse.ArgumentParser()
    numbers = lambda text: [int(part) for part in text.split(",")]
    parser.add_argument("--rows", type=numbers, required=True)
    parser.add_argument("--dims", type=numbers, required=True)
    parser.add_argument("--batches", type=numbers, required=True)
    parser.add_argument("--budget-ms", type=float, default=500)
    options = parser.parse_args()
    try:
        import torch
    except ImportError as error:
        say(what="missing", reason=f"PyTorch: {error}")
        return
    if not torch.cuda.is_available():
        say(what="missing", reason=f"PyTorch {torch.__version__} sees no CUDA device")
        return
    say(what="versions", torch=torch.__version__, cuda=torch.version.cuda, device=torch.cuda.get_device_name())
    bandwidth(torch, options.budget_ms)
    for dim in options.dims:
        for rows in options.rows:
            try:
                measure(torch, options, rows, dim)
            except torch.cuda.OutOfMemoryError as error:
                say(what="skipped", rows=rows, dim=dim, reason=str(error).splitlines()[0])
            torch.cuda.empty_cache()


if __name__ == "__main__":
    sys.exit(main())
