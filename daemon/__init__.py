"""Library Sync keeps a media status tracker true to a Jellyfin library."""

__version__ = "1.0.0"
