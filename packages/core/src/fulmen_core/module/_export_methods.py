"""Placeholder to be replaced by the exports."""


class ExportMethods:
    """Exports."""
