"""Where the time goes, by profile, in the rows that miss their target; shown on the page only while they do."""

WHY = {
    "decode": (
        "The reference keeps nothing but fields. By profile, a frame costs the receiver about 160 ns in each of "
        "some sixty calls: the table of states, the judgement of its number, the end of a record looked for, and "
        "two immutable values (the frame as an event with its raw bytes, the record with its place in the "
        "message) where the reference makes one list. Cutting every field into parts is what the agent never "
        "does; it cuts those a profile names, and the figure for that is beside it. Plain tuples for records and "
        "one call fewer per step of the table would bring about a fifth. At 30 ms per 100 messages it is 4 % of "
        "what a message costs the agent, so the checks stay."
    ),
    "receive": (
        "See the next rows: by profile, a durable frame costs about 140 us of CPU, 90 of them also with storing off."
    ),
    "cpu": (
        "By profile, of about 9 ms some 4 are receiving (30 frames of 140 us), 3.6 converting and 1 delivering. "
        "Of a frame's 140 us, 35 are the kernel's for sending the ACK, 20 a second send that wakes the event loop "
        "for each frame of a group, 60 to 70 SQL (savepoint, two reads, insert, release), the rest asyncio: a "
        "timer and a timeout per frame. Of converting, half is reading records and writing HL7 (no single place "
        "above 10 %), half SQL: a look-up and two rows for each of the 24 results. What would change it: waking "
        "the loop once per commit instead of once per frame; one timer per link instead of one per frame; looking "
        "up all results of a message in one statement; several frames of one link in one read. The first three "
        "are worth about 2 ms together; 4 ms for everything needs a receiver that is not written in Python."
    ),
    "wait": (
        "The event loop, the store's thread and the conversion share one interpreter lock, and 7,040 frames a "
        "second with their conversion ask for more than one core has: the load is not even kept up with, so what "
        "is seen is a queue. The receive path alone, which is what an analyser waits for, is in the second line. "
        "Converting in a process of its own, or holding conversion back while frames wait, would bring the first "
        "line to the second. A large site sends 580 frames a second."
    ),
    "filed": (
        "This is the CPU of the row above, once more: one interpreter at about 9 ms per message can do no more "
        "than 110 a second; with the management system, the broker and the load on the same two cores it is less. "
        "Paho alone shows that neither the broker nor the management system is the limit. What brings that row "
        "down brings this one up. A large serial site makes 20 messages a second."
    ),
    "drain": (
        "Each message is five changes in the store (published, PUBACK, answer, with a note for each and an audit "
        "entry), about 250 us of SQL, and about as much again in paho for one message out and one in; the "
        "management system spends more than the agent and shares the two cores, so paho alone, storing nothing, "
        "is not far above the target either. Noting publication and PUBACK of a window in one statement each "
        "would bring about a fifth."
    ),
    "rows": (
        "Choosing, counting and publishing do not depend on the size. Filing and queueing change indexes whose "
        "key is the hash of a specimen: their leaves are spread over the whole index (50 MB at a million rows), "
        "where SQLite's page cache is 2 MB, so each change reads a few pages from the kernel's cache. It is a "
        "step, not a slope: ten times the rows make one level of the tree more. A page cache of 16 MB would hide "
        "it at the price of the memory target; an index keyed by a specimen's row number instead of its hash "
        "would remove it."
    ),
    "start": (
        "Python and the libraries take a quarter of it. By `-X importtime` most of the rest is pydantic, which "
        "builds the validators of the profile's and the configuration's models (0.12 s), and the agent's own "
        "modules (0.15 s); opening an empty store, with its migration, its reserve and its syncs, is about 0.05 "
        "s. Building validators on first use would save about 0.1 s at the start and pay it when the profiles are "
        "read, which is also before the port opens. With data, the time is SQLite's `quick_check` of every page, "
        "which is what finds a damaged disk before anything is added to it."
    ),
    "memory": (
        "45 MiB are there when the modules are loaded and nothing has run: 10 Python, 16 asyncio, TLS, paho, "
        "pyserial and click, 12 pydantic with the models of profile and configuration, 7 our own modules. The "
        "other 5 are threads' stacks and heaps, SQLite's page cache and the profiles. Dropping pydantic after "
        "start is not possible; reading profiles with checks of our own instead would save about 10 MiB."
    ),
}
