"""The store's errors. A person is told a sentence, a code and what to do; never patient data.

StoreError
├── OpenError                  the store cannot be used at all: the agent does not start
│   ├── DirectoryError         the data directory cannot be made or written
│   ├── ForeignDirectoryError  root would leave files there that its owner cannot open
│   ├── StoreLockedError       another agent owns this data directory
│   ├── StoreCorruptError      the database fails its check
│   ├── StoreTooNewError       a newer version of the agent wrote it
│   ├── UnsafeFilesystemError  a file system that does not keep what was synced
│   └── UnsafeSettingsError    SQLite did not take the settings that make a commit durable
├── BackupError                a copy of the store could not be made, or fails its check
├── StorageFailedError         a write failed; nothing may be acknowledged until storage works again
└── RefusedError               this one request cannot be done; the store is well
    ├── UnknownRowError        no row has this id
    ├── AnchorError            an anchor is older than the audit chain
    ├── NoteRequiredError      a person's decision needs a name and a note
    ├── AlreadySentError       an observation would go out twice from one transmission
    └── NotCommittedError      a receipt was used before its COMMIT
"""

from edge_agent.errors import AgentError


class StoreError(AgentError):
    """Anything the store refuses or cannot do."""


class OpenError(StoreError):
    """The store was not opened. Nothing was changed on disk."""


class DirectoryError(OpenError):
    def __init__(self, why: str) -> None:
        super().__init__(
            f"The data directory cannot be used: {why}.",
            code="store-directory",
            action="Check data_dir, who owns it and its free space; the agent needs to write there.",
        )


class ForeignDirectoryError(OpenError):
    def __init__(self, owner: str) -> None:
        super().__init__(
            f"The data directory belongs to {owner}, who could not open what an agent run by root writes there.",
            code="store-directory",
            action="Start it as that user: `systemctl start edge-agent`, or where it is no service "
            f"`runuser -u {owner} -- edge-agent run`.",
        )


class StoreLockedError(OpenError):
    def __init__(self, why: str) -> None:
        super().__init__(
            f"Another program is using the data directory: {why}.",
            code="store-locked",
            action="Stop the other program, or give this agent its own data_dir.",
        )


class StoreCorruptError(OpenError):
    def __init__(self, why: str) -> None:
        super().__init__(
            f"The database is damaged: {why}.",
            code="store-corrupt",
            action="Nothing was changed, and no analyser is answered. Keep all files together; see docs/salvage.md: "
            "put back a backup, or `edge-agent salvage`, which moves them aside and saves what can be read.",
        )


class StoreTooNewError(OpenError):
    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"The database has schema {found}; this version of the agent knows up to {known}.",
            code="store-too-new",
            action="Install the newer version of the agent again.",
        )


class UnsafeFilesystemError(OpenError):
    def __init__(self, kind: str) -> None:
        super().__init__(
            f"The data directory lies on {kind}, which does not keep results through a power failure.",
            code="store-unsafe-filesystem",
            action="Put data_dir on a local disk (ext4 or XFS with default options).",
        )


class UnsafeSettingsError(OpenError):
    def __init__(self, setting: str, wanted: str, found: str) -> None:
        super().__init__(
            f"SQLite runs with {setting} = {found} where {wanted} is needed to keep results through a power failure.",
            code="store-unsafe-settings",
            action="Use the SQLite this agent was tested with.",
        )


class StorageFailedError(StoreError):
    """A statement or COMMIT failed. What it wrote may or may not be there after a restart: never acknowledge it."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"Results cannot be stored: {why}.",
            code="storage",
            action="Nothing is acknowledged until storage works. Check the disk.",
        )


class BackupError(StoreError):
    def __init__(self, why: str) -> None:
        super().__init__(
            f"The backup was not made: {why}.",
            code="backup-failed",
            action="Free space or correct what is said, then try again; the store was not changed.",
        )


class RefusedError(StoreError):
    """One request cannot be done; everything else goes on."""


class UnknownRowError(RefusedError):
    def __init__(self, what: str) -> None:
        super().__init__(f"The store has no such {what}.", code="unknown-id", action="Check the id.")


class AnchorError(RefusedError):
    def __init__(self, entry: int, begins: int) -> None:
        super().__init__(
            f"Nothing can be said of the anchor {entry}: the audit chain begins behind entry {begins} by now.",
            code="anchor",
            action="Name a newer anchor; what is older than 400 days is taken away.",
        )


class NoteRequiredError(RefusedError):
    def __init__(self) -> None:
        super().__init__(
            "A decision about a result needs a name and a note.", code="note-required", action="Say who and why."
        )


class AlreadySentError(RefusedError):
    def __init__(self, transmission: int) -> None:
        super().__init__(
            f"An observation of transmission {transmission} was converted before and would go out twice.",
            code="already-sent",
            action="Report this; nothing was sent.",
        )


class NotCommittedError(RefusedError):
    def __init__(self) -> None:
        super().__init__(
            "A receipt was used before its data was committed.", code="not-committed", action="Report this."
        )
