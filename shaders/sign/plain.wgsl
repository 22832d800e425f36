// Room in stage 1's list: each invocation asks for its own.

var<workgroup> listed: atomic<u32>;

// Where this invocation's row goes, if it keeps one. Called by all invocations together.
fn place(keeps: bool) -> u32 {
    if keeps {
        return atomicAdd(&listed, 1u);
    }
    return 0u;
}
