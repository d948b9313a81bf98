"""Configuration: what a run is (schema), the named starting points (presets) and how they are read (loading)."""

from synthseg.config.loading import load_config, to_toml
from synthseg.config.schema import RunConfig

__all__ = ["RunConfig", "load_config", "to_toml"]
