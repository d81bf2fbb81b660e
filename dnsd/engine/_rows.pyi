from dnsd.engine.entry import Column, Treatment

def rows(
    owners: Column,
    owner_ends: Column,
    rdatas: Column,
    rdata_ends: Column,
    traits: Column,
    special: bytes,
    order: Column,
    ends: Column | None,
    treatments: list[Treatment],
    /,
) -> bytes: ...
