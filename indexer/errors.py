"""Errors of the service; a class's docstring is its default message."""


class GlyphseekError(Exception):
    """Something went wrong in glyphseek."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


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


class NotReady(GlyphseekError):
    """The service is still starting; try again in a moment."""


class SnapshotInvalid(GlyphseekError):
    """The saved index cannot be used; it has to be built afresh."""
