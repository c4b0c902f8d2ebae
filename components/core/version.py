"""The version of this code: `pyproject.toml` states it; the images and the chart have the same."""

from importlib.metadata import version

VERSION = version("nashflow")
