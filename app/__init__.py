"""The service: HTTP, command line, settings and page."""
