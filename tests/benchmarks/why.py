"""Where the time goes, by profile, in the rows that miss their target; shown on the page only while they do."""

WHY = {
    "decode": (
        "The reference keeps nothing but fields. By cProfile the receiver and the reader make about 55 calls per "
        "frame: the table of states, the judgement of its number, the search for the end of a record, and two "
        "immutable values (the frame as an event with its raw bytes, the record with its place in the message) "
        "where the reference makes one list; no single place takes more than 8 %. Cutting every field into parts "
        "is what the agent never does: it cuts those a profile names, and the figure for that stands beside it. "
        "Records as tuples and fewer steps through the table would help; at about 0.4 ms per message this is a "
        "twentieth of what a message costs the agent, so the checks stay."
    ),
    "receive": (
        "By cProfile a durable frame costs about 75 us of CPU on a quiet machine, 60 of them with storing off too; "
        "the next rows say where."
    ),
    "cpu": (
        "Measured apart on a quiet machine, a message costs about 2.2 ms to receive (30 frames of 75 us), 3.3 to "
        "convert with what the store does for it, and 1 to deliver; the rest is what four threads cost each other "
        "that share one interpreter. By py-spy, of the time somebody holds the interpreter the event loop has 43 %, "
        "the conversion 36 %, the store 20 %. Of a frame's 75 us the kernel takes about 35 to send the ACK and "
        "receive. Of converting, 1.7 ms are reading records and writing HL7 (no place above 6 %), the rest the "
        "store: a look-up and two rows for each of the 24 results, an audit entry, two COMMITs. Waking the event "
        "loop once for each COMMIT instead of once for each frame, one timer for a link instead of two for each "
        "frame, and two questions to the store for each message instead of six were tried, and are in: they brought "
        "a frame from 150 us to 75 and converting from 4.9 ms to 3.3. A shorter switch interval of the interpreter "
        "(1 ms, 0.2 ms) was tried and changes nothing that stands out of the noise. 4 ms for everything needs a "
        "receiver or a converter that is not Python, or one that is a process of its own."
    ),
    "wait": (
        "The event loop, the store's thread and the conversion share one interpreter lock, and 7,040 frames a second "
        "with their conversion (about 240 messages a second) ask for more than one core has: the rate is not kept "
        "up, so what is seen is a queue. The receive path alone is in the second line, and the difference is the "
        "conversion. Holding it back while frames wait would bring the first line to the second, and results of a "
        "busy lab to the management system later: an analyser waits 15 s for its ACK, so that was not done. A "
        "process of its own for converting would help both. A large site sends 580 frames a second."
    ),
    "filed": (
        "The CPU of the row above, once more: one interpreter, and the load, the broker and the management system "
        "share its two cores. Paho alone shows that neither the broker nor the management system is the limit. What "
        "brings that row down brings this one up. A large serial site makes 20 messages a second."
    ),
    "drain": (
        "When this was last measured, the management system of the benchmark needed as much CPU as the agent, on the "
        "same two cores. It files and answers in batches now and needs 0.15 ms per message; it stands for another "
        "machine. Of the agent's 0.6 ms the store has 0.28 (three changes: published, PUBACK, answered; each with a "
        "note, the last with an audit entry), the event loop 0.17, paho 0.13 (0.4 more until its property tables "
        "were made once)."
    ),
    "rows": (
        "Choosing, counting, publishing and PUBACK hold. By statement, filing loses time in the change of state "
        "(38 to 50 us: it moves a row between indexes whose key is the hash of a specimen, so their leaves lie "
        "anywhere), and queueing in the update of its transmission and the insert of its group (18 and 20 us to "
        "42 and 47), which ought not to depend on the number of messages: the cause is not found yet. A page "
        "cache of 16 or 64 MB instead of 2 was tried and changes nothing. The COMMIT, not counted above, grows "
        "more: 128 messages touch more pages, 15 ms instead of 2."
    ),
    "start": (
        "By stopwatch, importing is 0.5 to 0.6 s (Python and the libraries are 0.12 of it, the profile's pydantic "
        "models about 0.1 by `-X importtime`, the rest the configuration's models and our own modules), a new store "
        "with its migration, reserve and syncs 0.07 s, a profile 0.003 s. Opening the ports before the modules that "
        "convert and publish are loaded would bring it under the target; not tried. With data, the time is mostly "
        "SQLite's `quick_check` of every page, which finds a damaged disk before anything is added to it."
    ),
    "memory": (
        "About 48 MiB are there when the modules are loaded and nothing has run: 10 Python; 16 asyncio, TLS, paho, "
        "pyserial and click; 12 pydantic with the models of the profile; 10 our own modules. The rest comes with "
        "running (threads, page cache, pinned profiles) and was not taken apart. Checking profiles without pydantic "
        "would be worth most of its 12 MiB, and a rewrite of the profile's schema."
    ),
}
