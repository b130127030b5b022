"""The version, apart from the package's root: that also holds the app factory, which imports everything."""

__version__ = "0.1.0"
