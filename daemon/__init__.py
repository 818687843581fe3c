"""Library Sync keeps a media status tracker true to a Jellyfin library."""

__version__ = "0.1.0"
