"""What the outside services say, read safely: one thin client a service."""
