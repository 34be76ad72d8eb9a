"""Errors of the service; a class's docstring is its default message."""


class GlyphseekError(Exception):
    """Something went wrong in glyphseek."""

    def __init__(self, message: str | None = None, *, reason: str = "") -> None:
        """Say what went wrong.

        Args:
            message: For everybody.
            reason: For who runs the service: it may name users and addresses.
        """
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.reason = reason

    @property
    def in_full(self) -> str:
        """The message, and the reason if there is one."""
        return f"{self} ({self.reason})" if self.reason else str(self)


class ImageRejected(GlyphseekError):
    """The file is not a picture that can be read."""


class NotFound(GlyphseekError):
    """There is no such thing here."""


class Conflict(GlyphseekError):
    """What is there stands against it."""


class InvalidQuery(GlyphseekError):
    """The query has no character that can be searched for."""


class StorageFull(GlyphseekError):
    """The disk that holds the data folder is full; free some space and send the photo again."""


class DatabaseUnavailable(GlyphseekError):
    """The database does not answer; try again in a moment."""


class DatabaseRefuses(DatabaseUnavailable):
    """The database refuses what the service asks of it; whoever runs it finds the reason in its log."""


class NotReady(GlyphseekError):
    """The service is still starting; try again in a moment."""


class SnapshotInvalid(GlyphseekError):
    """The saved index cannot be used; it has to be built afresh."""
