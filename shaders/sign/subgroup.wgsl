// Room in stage 1's list: a subgroup asks once for all of its invocations.

var<workgroup> listed: atomic<u32>;

// Where this invocation's row goes, if it keeps one. Called by all invocations together.
fn place(keeps: bool) -> u32 {
    let own = select(0u, 1u, keeps);
    let before = subgroupExclusiveAdd(own);
    let all = subgroupAdd(own);
    var first = 0u;
    if subgroupExclusiveAdd(1u) == 0u {
        first = atomicAdd(&listed, all);
    }
    return subgroupBroadcastFirst(first) + before;
}
